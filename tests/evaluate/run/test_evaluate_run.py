"""evaluate/run/evaluator.py and the command line: from folders to numbers, whatever is in the way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import broken_folder, music, needs_permissions, noise, silence, write
from typer.testing import CliRunner

from qamdt.evaluate.cli import app
from qamdt.evaluate.config import METRICS, Config
from qamdt.evaluate.run.evaluator import evaluate
from qamdt.evaluate.run.inputs_and_features import Call
from qamdt.evaluate.run.results import Results, read_results, write_results
from qamdt.evaluate.show.compare import compare
from qamdt.evaluate.show.table import FORMATS, build_table, published_rows
from qamdt.pipeline.dataset import Dataset
from qamdt.schemas.errors import ConfigError, DatasetBusy

QUIET = Call(quiet=True)
RATE = 44_100
CLIPS = 8


def piece(seed: int, seconds: float = 3.2) -> np.ndarray:
    return music(seconds, RATE, 2, seed, bpm=80 + 10 * seed)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """generated and reference of 8 clips of the same ids, their captions, and a cache for all tests."""
    root = tmp_path_factory.mktemp("evaluate")
    for k in range(CLIPS):
        write(root / "generated" / f"{k}.wav", piece(k), RATE)
        write(root / "reference" / f"{k}.wav", piece(50 + k), RATE)
    words = ["slow piano", "fast rock", "techno", "a choir"]
    rows = [{"id": str(k), "caption": f"{words[k % 4]}, number {k}"} for k in range(CLIPS)]
    (root / "captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return root


def configured(home: Path, **values: Any) -> Config:
    run = {k: values.pop(k) for k in ("workers", "batch", "cache") if k in values}
    made = Config().override("run", {"cache": str(home / "cache"), **run})
    return made.override("metrics", values)


@pytest.fixture(scope="module")
def whole(home: Path) -> Results:
    """All metrics, in this process."""
    return evaluate(
        home / "generated", home / "reference", home / "captions.jsonl", configured(home), QUIET
    )


def numbers(found: Results) -> list[Any]:
    return [(n.name, n.value, n.low, n.high, n.n, n.protocol_id, n.detail) for n in found.numbers]


def command(*words: object) -> Any:
    return CliRunner().invoke(app, [str(w) for w in words])


# --- numbers -----------------------------------------------------------------------------------


def test_every_metric_is_there_with_protocol_interval_and_n(whole: Results) -> None:
    assert [n.name for n in whole.numbers] == list(METRICS) and not whole.absent
    for n in whole.numbers:
        assert len(n.protocol_id) == 12 and n.n == CLIPS
        assert {"metric", "seconds"} <= n.protocol.keys()
        if n.name != "fad":  # 8 clips of 400 dimensions have none, and it says so
            assert n.low is not None and n.high is not None and n.low <= n.value <= n.high
    assert "full rank" in whole.number("fad").notes[0]
    assert whole.number("fad").detail["dim"] == 400 and whole.number("fad").detail["rank"] == 7
    assert not whole.faulty and len(whole.clips) == CLIPS
    for clip in whole.clips:
        assert {"kl", "clap", "pmos", "fad_influence", "loudness_lufs"} <= clip.keys()
    assert np.mean([c["pmos"] for c in whole.clips]) == pytest.approx(whole.number("pmos").value)


def test_twice_two_batch_sizes_and_two_workers_give_the_same_bits(
    home: Path, whole: Results
) -> None:
    sets = (home / "generated", home / "reference", home / "captions.jsonl")
    again = evaluate(*sets, configured(home), QUIET)
    batch = evaluate(*sets, configured(home, batch=3, cache=str(home / "cache3")), QUIET)
    on_ray = evaluate(
        *sets, configured(home, workers=2, batch=2, cache=str(home / "cache_ray")), QUIET
    )
    for other in (again, batch, on_ray):
        assert numbers(other) == numbers(whole) and other.clips == whole.clips


def test_a_set_against_itself(home: Path) -> None:
    found = evaluate(home / "generated", home / "generated", None,
                     configured(home, metrics=["fad", "kl", "kad"]), QUIET)  # fmt: skip
    assert found.number("fad").value <= 1e-9 and found.number("kl").value <= 1e-12
    assert found.number("kad").value < 1e-9


def damaged(home: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    folder = home / name
    for k in range(CLIPS):
        write(folder / f"{k}.wav", change(piece(k)), RATE)
    return folder


def test_planted_defects_are_heard(home: Path, whole: Results) -> None:
    """Noise of growing level: FAD against the clean clips grows, p-MOS falls.

    Only as far as pmos-mini can tell: under more noise than this its score stays low.
    """
    found = [
        evaluate(
            damaged(home, f"noise{level}", lambda x, level=level: x + noise(3.2, RATE, rms=level)),
            home / "generated", None, configured(home, metrics=["fad", "pmos"]), QUIET,
        )
        for level in (0.001, 0.003, 0.01)
    ]  # fmt: skip
    distances = [r.number("fad").value for r in found]
    scores = [whole.number("pmos").value, *(r.number("pmos").value for r in found)]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert scores[0] > scores[1] > scores[2] > scores[3]


def test_clap_falls_where_texts_are_exchanged(tmp_path: Path, home: Path) -> None:
    """Tunes with captions that are true, then the same with each other's."""
    from qamdt.benchmarks.evaluation.tunes import write_tunes

    captions = write_tunes(tmp_path / "tunes", 12, duration_s=3.2)
    config = configured(home, metrics=["clap"])
    right = evaluate(tmp_path / "tunes", None, captions, config, QUIET)
    rows = [json.loads(line) for line in captions.read_text().splitlines()]
    texts = [r["caption"] for r in rows]
    for row, text in zip(rows, texts[5:] + texts[:5], strict=True):
        row["caption"] = text
    captions.write_text("".join(json.dumps(r) + "\n" for r in rows))
    wrong = evaluate(tmp_path / "tunes", None, captions, config, QUIET)
    assert right.number("clap").value > wrong.number("clap").value + 0.03
    assert right.number("clap").value > right.number("clap").detail["mismatched"]


# --- what is in the way ------------------------------------------------------------------------


def test_broken_files_are_rows_that_say_why(tmp_path: Path, home: Path) -> None:
    broken = broken_folder(tmp_path / "broken")
    found = evaluate(
        tmp_path / "broken", None, None, configured(home, metrics=["is", "pmos"]), QUIET
    )
    told = {u["id"]: u["why"] for u in found.unreadable}
    # cut.flac and cut.wav have one id: the second stands there by its path
    assert {Path(name).stem for name in told} == {p.stem for p in broken.bad}
    assert "DuplicateId" in told[str(tmp_path / "broken" / "cut.wav")]
    assert "EmptyFile" in told["zero"] and "UnreadableAudio" in told["text"]
    assert found.number("pmos").n == found.number("is").n - 1  # .2 s have no p-MOS, and are heard
    assert found.faulty and {c["status"] for c in found.clips} == {"ok", "error"}


def test_missing_and_extra_by_id(tmp_path: Path, home: Path) -> None:
    shutil.copytree(home / "generated", tmp_path / "g")
    (tmp_path / "g" / "3.wav").rename(tmp_path / "g" / "stranger.wav")
    found = evaluate(
        tmp_path / "g", home / "reference", home / "captions.jsonl",
        configured(home, metrics=["kl", "clap"]), QUIET,
    )  # fmt: skip
    assert (found.missing, found.extra) == (["3"], ["stranger"])
    assert found.number("kl").n == found.number("clap").n == CLIPS - 1


def test_silence_and_clipping_are_flagged(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "set" / "silent.wav", silence(3.2, RATE), RATE)
    write(tmp_path / "set" / "clipped.wav", np.clip(6 * piece(1), -0.9, 0.9), RATE)
    write(tmp_path / "set" / "good.wav", piece(2), RATE)
    found = evaluate(tmp_path / "set", None, None, configured(home, metrics=["pmos"]), QUIET)
    assert found.flagged == [
        {"id": "clipped", "flags": ["clipped"]}, {"id": "silent", "flags": ["silent"]},
    ]  # fmt: skip


def test_changed_audio_is_never_scored_from_the_cache(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "set" / "a.wav", piece(1), RATE)
    config = configured(home, metrics=["pmos"])
    before = evaluate(tmp_path / "set", None, None, config, QUIET).number("pmos").value
    write(tmp_path / "set" / "a.wav", piece(1) + noise(3.2, RATE, rms=0.1), RATE)
    after = evaluate(tmp_path / "set", None, None, config, QUIET).number("pmos").value
    assert after < before - 0.3


def test_a_stopped_run_goes_on_from_what_was_committed(tmp_path: Path, home: Path) -> None:
    """Half the clips, then all: the second run hears only the rest, and the numbers are the same."""
    config = configured(home, metrics=["is"], cache=str(tmp_path / "cache"))
    evaluate(home / "generated", None, None, config, Call(limit=CLIPS // 2, quiet=True))
    parts = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("part-*.parquet")}
    rest = evaluate(home / "generated", None, None, config, QUIET)
    assert parts and all(p.stat().st_mtime_ns == t for p, t in parts.items())
    fresh = configured(home, metrics=["is"], cache=str(tmp_path / "other"))
    assert numbers(evaluate(home / "generated", None, None, fresh, QUIET)) == numbers(rest)


def test_a_cache_in_use_is_waited_for_by_nobody(tmp_path: Path, home: Path) -> None:
    with Dataset(tmp_path / "cache").lock(), pytest.raises(DatasetBusy, match="in use"):
        evaluate(home / "generated", None, None,
                 configured(home, metrics=["pmos"], cache=str(tmp_path / "cache")), QUIET)  # fmt: skip


def test_shards_give_the_numbers_of_their_files(tmp_path: Path, home: Path, whole: Results) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((home / "generated").iterdir())
    audio = [{"bytes": f.read_bytes(), "path": f.name} for f in files]
    captions = [json.loads(x) for x in (home / "captions.jsonl").read_text().splitlines()]
    table = pa.table({"id": [f.stem for f in files], "audio": audio,
                      "caption": [c["caption"] for c in captions]})  # fmt: skip
    (tmp_path / "shards").mkdir()
    pq.write_table(table, tmp_path / "shards" / "part-0.parquet", row_group_size=3)
    config = configured(home, cache=str(tmp_path / "cache"))
    found = evaluate(tmp_path / "shards", home / "reference", None, config, QUIET)
    assert numbers(found) == numbers(whole)


def test_what_cannot_be_measured_is_refused_or_absent(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fad, kad, kl need a reference"):
        evaluate(home / "generated", None, None, configured(home), QUIET)
    with pytest.raises(ConfigError, match="has no classes"):
        config = configured(home, metrics=["is"]).override("models", {"classifier": "clap-mini"})
        evaluate(home / "generated", None, None, config, QUIET)
    found = evaluate(home / "generated", None, None, configured(home, metrics=["clap"]), QUIET)
    assert found.absent[0].name == "clap" and "--captions" in found.absent[0].why and found.faulty
    for k in range(3):
        write(tmp_path / "other" / f"x{k}.wav", piece(k), RATE)
    unlike = evaluate(
        tmp_path / "other", home / "reference", None, configured(home, metrics=["kl"]), QUIET
    )
    assert "no id of" in unlike.absent[0].why


# --- the commands ------------------------------------------------------------------------------


def test_run_writes_results_that_read_back(home: Path, whole: Results, tmp_path: Path) -> None:
    said = command(
        "run", home / "generated", "--reference", home / "reference", "--captions",
        home / "captions.jsonl", "--out", tmp_path / "res", "--cache", home / "cache", "--quiet",
        "--strict", "--system", "ours <b>",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    back = read_results(tmp_path / "res")
    assert numbers(back) == numbers(whole) and list(back.clips) == list(whole.clips)
    page = (tmp_path / "res" / "report.html").read_text()
    assert page.count("data:audio/mpeg;base64,") == 4 * CLIPS and "<script" not in page
    assert (
        "ours &lt;b&gt;" in page
        and "ours <b>" not in page
        and "http" not in page.split("<body>")[1]
    )
    assert back.number("fad").protocol_id in page


def test_strict_exits_3(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "generated", tmp_path / "g")
    (tmp_path / "g" / "9.wav").write_bytes(b"")
    words = ["run", tmp_path / "g", "--out", tmp_path / "res", "--cache", home / "cache",
             "--metrics", "pmos", "--quiet"]  # fmt: skip
    assert command(*words).exit_code == 0
    assert command(*words, "--strict").exit_code == 3


def test_compare_finds_the_damage_and_not_the_chance(
    home: Path, whole: Results, tmp_path: Path
) -> None:
    worse = damaged(home, "worse", lambda x: x + noise(3.2, RATE, rms=0.1))
    other = evaluate(worse, home / "reference", home / "captions.jsonl", configured(home), QUIET)
    write_results(tmp_path / "a", whole)
    write_results(tmp_path / "b", other)
    said = command("compare", tmp_path / "a", tmp_path / "b", "--json", tmp_path / "c.json")
    assert said.exit_code == 0, said.output
    told = {t["name"]: t for t in json.loads((tmp_path / "c.json").read_text())["tests"]}
    assert told.keys() == {"fad", "kad", "kl", "clap", "pmos"}
    assert told["pmos"]["better"] == "A" and told["pmos"]["p_holm"] < 0.01
    assert all(t["p_holm"] >= t["p"] for t in told.values())
    same = {c.name: c for c in compare(whole, whole)}
    assert all(c.better == "neither" and c.p == 1 for c in same.values())


def test_compare_and_table_refuse_what_is_not_alike(
    home: Path, whole: Results, tmp_path: Path
) -> None:
    other = evaluate(home / "generated", home / "reference", None,
                     configured(home, metrics=["kl"], kl_direction="gen-ref"), QUIET)  # fmt: skip
    with pytest.raises(ConfigError, match="direction: ref-gen and gen-ref"):
        compare(whole, other)
    with pytest.raises(ConfigError, match="direction"):
        build_table([whole, other])
    mixed = build_table([whole, other], mix=True)
    assert any("MIXED" in note for note in mixed.notes)
    swapped = evaluate(home / "reference", home / "generated", None,
                       configured(home, metrics=["kl"]), QUIET)  # fmt: skip
    with pytest.raises(ConfigError, match="different references"):
        compare(whole, swapped)
    with pytest.raises(ConfigError, match="give --mix"):
        build_table([whole], published="musiccaps")
    with pytest.raises(ConfigError, match="no results"):
        read_results(tmp_path)


@pytest.mark.parametrize("name", list(FORMATS))
def test_tables(whole: Results, name: str) -> None:
    table = build_table([whole, whole], published="musiccaps", mix=True)
    text = FORMATS[name](table)
    assert "QA-MDT DiT" in text and f"{whole.number('pmos').value:.3f}" in text
    if name == "latex":
        rows = [line for line in text.splitlines() if line.endswith("\\\\")]
        assert len({line.count(" & ") for line in rows}) == 1 and not re.search(
            r"(?<!\\)_", text.split("tabular")[1]
        )


def test_published_rows_have_a_source_and_a_protocol(tmp_path: Path) -> None:
    from qamdt.evaluate.show.table import PUBLISHED

    for name in ("musiccaps", "song-describer"):
        assert all(len(row.source) > 20 and row.cells for row in published_rows(PUBLISHED, name))
    with pytest.raises(ConfigError, match="it has musiccaps, song-describer"):
        published_rows(PUBLISHED, "audiocaps")
    (tmp_path / "own.toml").write_text('[[row]]\nmodel = "x"\n')
    with pytest.raises(ConfigError, match="cannot be used"):
        published_rows(tmp_path / "own.toml", "musiccaps")
    said = command("table", "--published", "song-describer")
    assert said.exit_code == 0 and "FluxMusic" in said.output


def test_statistics_by_command_merge_to_the_whole_set(
    home: Path, whole: Results, tmp_path: Path
) -> None:
    for part in (0, 1):
        for k in range(part * 4, part * 4 + 4):
            target = tmp_path / f"part{part}" / f"{k}.wav"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(home / "reference" / f"{k}.wav", target)
        said = command("stats", tmp_path / f"part{part}", "--out", tmp_path / f"{part}.npz",
                       "--cache", home / "cache", "--quiet")  # fmt: skip
        assert said.exit_code == 0, said.output
    both = tmp_path / "both.npz"
    assert (
        command("stats", "--merge", tmp_path / "1.npz", tmp_path / "0.npz", "--out", both).exit_code
        == 0
    )
    found = evaluate(
        home / "generated", both, None, configured(home, metrics=["fad", "kad"]), QUIET
    )
    for name in ("fad", "kad"):
        assert found.number(name).value == pytest.approx(whole.number(name).value, rel=1e-12)
    with pytest.raises(ConfigError, match="kl pairs clips"):
        evaluate(home / "generated", both, None, configured(home, metrics=["kl"]), QUIET)
    config = configured(home, metrics=["fad"]).override("models", {"embedder": ["clap-mini"]})
    other = evaluate(home / "generated", both, None, config, QUIET)
    assert "were made by" in other.absent[0].why


def test_protocols_say_where_they_depart(home: Path) -> None:
    config = configured(home, metrics=["kl", "is"], protocol="audioldm", is_splits=2)
    found = evaluate(home / "generated", home / "reference", None, config, QUIET)
    assert any("KL and IS by embedded, where audioldm has panns" in d for d in found.deviates)
    assert found.number("kl").protocol["eps"] == 1e-6 and found.number("is").protocol["splits"] == 2


def test_several_embedders_in_one_run(home: Path) -> None:
    config = configured(home, metrics=["fad", "kad"]).override(
        "models", {"embedder": ["embedded", "clap-mini"]}
    )
    found = evaluate(home / "generated", home / "reference", None, config, QUIET)
    assert [n.name for n in found.numbers] == ["fad", "kad", "fad@clap-mini", "kad@clap-mini"]
    assert found.number("fad@clap-mini").detail["dim"] == 246
    assert {c.name for c in compare(found, found)} == {n.name for n in found.numbers}


@pytest.mark.skipif(not needs_permissions(), reason="mode bits do not stop root")
def test_a_file_nobody_may_read(tmp_path: Path, home: Path) -> None:
    file = write(tmp_path / "set" / "a.wav", piece(1), RATE)
    write(tmp_path / "set" / "b.wav", piece(2), RATE)
    file.chmod(0)
    found = evaluate(tmp_path / "set", None, None, configured(home, metrics=["pmos"]), QUIET)
    assert [u["id"] for u in found.unreadable] == ["a"]
