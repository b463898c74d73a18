"""evaluate/data/sets.py, prompts.py, stats.py: sets by id and content, captions, statistics."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import music, odd_names, sine, write, zero_byte

from qamdt.evaluate.data.prompts import Prompt, read_prompts
from qamdt.evaluate.data.sets import open_set, shard_bytes
from qamdt.evaluate.metrics.fad import fad, sample
from qamdt.evaluate.metrics.reference_stats import merge_stats, read_stats, stats_of, write_stats
from qamdt.schemas.errors import ConfigError


def tones(folder: Path, count: int = 3) -> list[Path]:
    return [write(folder / f"t{i}.wav", sine(0.3, 200 + 50 * i, 8000), 8000) for i in range(count)]


def test_a_folder_gives_ids_by_path_and_contents_by_bytes(tmp_path: Path) -> None:
    tones(tmp_path / "a" / "inner")
    zero_byte(tmp_path / "a" / "zero.wav")
    (tmp_path / "a" / "notes.txt").write_text("x")
    found = open_set(tmp_path / "a")
    assert [i.id for i in found.items] == ["inner/t0", "inner/t1", "inner/t2", "zero"]
    assert found.ignored == {".txt": 1}
    moved = tmp_path / "b" / "elsewhere.wav"
    moved.parent.mkdir()
    moved.write_bytes((tmp_path / "a" / "inner" / "t1.wav").read_bytes())
    (other,) = open_set(moved.parent).items
    assert other.content == found.items[1].content and other.id == "elsewhere"


def test_changed_bytes_and_other_stretches_are_other_clips(tmp_path: Path) -> None:
    (file, *_) = tones(tmp_path, 1)
    before = open_set(tmp_path).items[0].content
    assert open_set(tmp_path, seconds=0.1).items[0].content != before
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert open_set(tmp_path).items[0].content != before


def test_two_files_of_one_id_are_a_problem_not_a_choice(tmp_path: Path) -> None:
    write(tmp_path / "same.wav", sine(0.3))
    write(tmp_path / "same.flac", sine(0.3))
    first, second = open_set(tmp_path).items
    assert [first.problem, second.problem].count(None) == 1
    assert "DuplicateId" in (second.problem or first.problem or "")


def test_odd_names_and_lists(tmp_path: Path) -> None:
    files = odd_names(tmp_path / "odd", duration_s=0.2)
    assert len(open_set(tmp_path / "odd").good) == len(files)
    listed = tmp_path / "list.txt"
    plain = tones(tmp_path / "plain")
    listed.write_text("\n".join(["plain/t0.wav", "", str(plain[1]), "plain/gone.wav"]))
    found = open_set(listed)
    assert [i.id for i in found.items] == ["gone", "t0", "t1"]
    assert found.items[0].problem is not None and "No such file" in found.items[0].problem


def test_a_manifest_names_ids_stretches_and_captions(tmp_path: Path) -> None:
    tones(tmp_path)
    rows = [
        {"id": 7, "path": "t0.wav", "start_s": 0.1, "duration_s": 0.1, "caption": "a tone"},
        {"id": "x", "path": "t0.wav", "start_s": 0.2, "duration_s": 0.1},
    ]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    first, second = open_set(file).items
    assert (first.id, first.start_s, first.caption, second.id) == ("7", 0.1, "a tone", "x")
    assert first.content != second.content


def shard(path: Path, sources: list[Path], group: int = 2) -> Path:
    audio = [{"bytes": s.read_bytes(), "path": s.name} for s in sources]
    table = pa.table({
        "clip_id": [s.stem for s in sources],
        "audio": pa.array(audio, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "caption": [f"caption of {s.stem}" for s in sources],
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def test_shards_hold_the_very_bytes(tmp_path: Path) -> None:
    files = tones(tmp_path / "files", 5)
    shard(tmp_path / "shards" / "part-0.parquet", files[:3])
    shard(tmp_path / "shards" / "part-1.parquet", files[3:])
    inside = open_set(tmp_path / "shards")
    assert [i.id for i in inside.items] == [f"t{k}" for k in range(5)]
    assert inside.items[4].caption == "caption of t4"
    assert [i.content for i in inside.items] == [
        i.content for i in open_set(tmp_path / "files").items
    ]
    third = inside.items[2]
    assert shard_bytes(third.path, third.row or 0) == files[2].read_bytes()
    assert inside.digest == open_set(tmp_path / "files").digest


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no set of clips"):
        open_set(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="no clip"):
        open_set(tmp_path)


# --- prompts -----------------------------------------------------------------------------------


def test_musiccaps_and_song_describer(tmp_path: Path) -> None:
    caps = tmp_path / "musiccaps-public.csv"
    caps.write_text(
        "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id\n"
        '-0Gj8-vB1q4,30,40,"/m/0140xf","[\'low quality\', \'ballad\']","A ""sad"" song,\nslow.",4\n'
    )
    found = read_prompts(caps)
    assert found.kind == "musiccaps"
    assert found.prompts == (Prompt("-0Gj8-vB1q4", 'A "sad" song,\nslow.', "-0Gj8-vB1q4"),)
    sdd = tmp_path / "song_describer.csv"
    sdd.write_text(
        "caption_id,track_id,caption,is_valid_subset,familiarity,artist_id,album_id,path,duration\n"
        "1,1004034,An upbeat song.,True,0,1,2,34/1004034.mp3,119.0\n"
        "2,1004034,Another view of it.,True,0,1,2,34/1004034.mp3,119.0\n"
    )
    found = read_prompts(sdd)
    assert found.kind == "song-describer"
    assert [(p.id, p.reference) for p in found.prompts] == [("1", "1004034"), ("2", "1004034")]


def test_plain_prompts_and_refusals(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(
        '{"clip_id": "a", "caption": "x"}\n{"id": 5, "caption": "y", "reference_id": "r"}\n'
    )
    assert [p.id for p in read_prompts(file).prompts] == ["a", "5"]
    assert read_prompts(file).prompts[1].reference == "r"
    for content, said in (
        ('{"id": "a", "caption": "x"}\n{"id": "a", "caption": "y"}\n', "twice"),
        ('{"id": "a"}\n', "row 1"),
        ('{"id": "a", "caption": " "}\n', "expected text"),
        ("[1]\n", "expected an object"),
        ("{\n", "not JSON"),
        ("", "no rows"),
    ):
        file.write_text(content)
        with pytest.raises(ConfigError, match=said):
            read_prompts(file)
    with pytest.raises(ConfigError, match="expected a prompt file"):
        read_prompts(tmp_path / "gone.csv")


# --- statistics --------------------------------------------------------------------------------

ABOUT = {"embedder": "test", "digest": "0"}


def clips(count: int, seed: int = 0, dim: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((1 + k % 3, dim)).astype(np.float32) for k in range(count)]


def test_statistics_merged_from_any_split_are_the_same_bits(tmp_path: Path) -> None:
    rows, names = clips(30), [f"{k:032}" for k in range(30)]
    whole = stats_of(sample(rows), ABOUT, names)
    write_stats(tmp_path / "whole.npz", whole)
    for cuts in ([10, 20], [1, 2, 29], list(range(1, 7))):
        edges = [0, *cuts, 30]
        parts = [
            stats_of(sample(rows[a:b]), ABOUT, names[a:b])
            for a, b in itertools.pairwise(edges)
            if sum(map(len, rows[a:b])) >= 2
        ]
        if len(parts) < len(edges) - 1:
            continue
        merged = merge_stats(parts[::-1])
        assert merged.contents == whole.contents
        assert np.array_equal(merged.gaussian.scatter, whole.gaussian.scatter)
    bare = merge_stats([stats_of(sample(rows[a:b]), ABOUT, names[a:b]).without_rows()
                        for a, b in ((0, 9), (9, 30))])  # fmt: skip
    np.testing.assert_allclose(bare.gaussian.cov, whole.gaussian.cov, rtol=1e-12, atol=1e-14)


def test_statistics_round_trip(tmp_path: Path) -> None:
    made = stats_of(sample(clips(20)), ABOUT, [f"{k:032}" for k in range(20)])
    write_stats(tmp_path / "s.npz", made)
    back = read_stats(tmp_path / "s.npz")
    assert back.about == ABOUT and back.contents == made.contents
    assert np.array_equal(back.gaussian.scatter, made.gaussian.scatter)
    write_stats(tmp_path / "s.npz", made.without_rows())
    bare = read_stats(tmp_path / "s.npz")
    assert bare.sample is None and np.array_equal(bare.gaussian.mean, made.gaussian.mean)


@pytest.mark.parametrize("names", [("mu", "cov"), ("mu_ref", "sigma_ref"), ("mu", "sigma")])
def test_statistics_of_other_tools(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = np.concatenate(clips(80)).astype(np.float64)
    np.savez(tmp_path / "s.npz", **dict(zip(names, (rows.mean(0), np.cov(rows.T)), strict=True)))
    found = read_stats(tmp_path / "s.npz")
    ours = fad(sample(clips(60, 1)), found.gaussian)
    assert found.about is None and ours.fixed_reference
    assert ours.value == pytest.approx(fad(sample(clips(60, 1)), sample(clips(80))).value, rel=1e-9)


def test_statistics_that_cannot_be_used(tmp_path: Path) -> None:
    one = stats_of(sample(clips(9)), ABOUT, [f"{k:032}" for k in range(9)])
    with pytest.raises(ConfigError, match="count twice"):
        merge_stats([one, one])
    other = stats_of(sample(clips(9)), {**ABOUT, "digest": "1"}, ["x"] * 9)
    with pytest.raises(ConfigError, match="different ways"):
        merge_stats([one, other])
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(ConfigError, match="plain arrays"):
        read_stats(tmp_path / "text.npz")
    np.savez(tmp_path / "odd.npz", a=1)
    with pytest.raises(ConfigError, match="mean and covariance"):
        read_stats(tmp_path / "odd.npz")
    np.savez(tmp_path / "pickle.npz", mu=np.array([{}], dtype=object), cov=np.eye(1))
    with pytest.raises(ConfigError, match="plain arrays"):
        read_stats(tmp_path / "pickle.npz")


def test_music_is_what_builders_say(tmp_path: Path) -> None:
    """A lossy file is heard whole, from its header's length."""
    from qamdt.evaluate.features.extract import sound_of

    file = write(tmp_path / "m.mp3", music(1.5))
    assert sound_of(str(file), None, None).duration_s == pytest.approx(1.5, abs=0.08)
    assert sound_of(str(file), 0.5, 0.25).duration_s == pytest.approx(0.25, abs=1e-3)
