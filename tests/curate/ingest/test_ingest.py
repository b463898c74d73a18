"""Ingest: files in = ok + error, content-addressed clips, and only what changed is done again."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from builders import broken_folder, manifest, music, write
from conftest import QUIET, ingest_into
from hypothesis import given
from hypothesis import strategies as st

from qamdt.audio.sources import Entry
from qamdt.curate import stations
from qamdt.curate.config import Config, IngestConfig
from qamdt.curate.ingest.ingest import windows_of
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import connect


def _ask(dataset: Dataset, sql: str) -> list[tuple]:
    with connect(dataset) as con:
        return con.execute(sql).fetchall()


@given(st.floats(0.01, 400), st.floats(0.5, 30), st.floats(0.1, 1))
def test_windows_tile_the_file(length: float, window: float, min_tail: float) -> None:
    config = IngestConfig(window_s=window, min_tail=min_tail)
    made = list(windows_of(Entry("x"), round(length, 6), config))
    assert sum(d for _, d, _ in made) == pytest.approx(length, abs=1e-4)
    for (a, d, _), (b, _, _) in itertools.pairwise(made):
        assert a + d == pytest.approx(b, abs=1e-5)
    for number, (_, d, skip) in enumerate(made):
        assert (skip is not None) == (d < min_tail * window - 1e-6 or d == 0) or abs(
            d - min_tail * window
        ) < 1e-5
        assert skip in (None, "short_tail" if number else "too_short")


def test_a_request_names_its_own_window() -> None:
    assert list(windows_of(Entry("x", 30.0, 10.0), 60.0, IngestConfig())) == [(30.0, 10.0, None)]


def test_every_file_of_a_broken_folder_is_a_row(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    broken = broken_folder(source)
    dataset = ingest_into(tmp_path / "data", source)
    rows = dict(_ask(dataset, "SELECT path, status FROM files"))
    assert set(rows) == {str(p) for p in (*broken.good, *broken.bad)}
    assert all(rows[str(p)] == "ok" for p in broken.good)
    errors = _ask(dataset, "SELECT path, error_message FROM files WHERE status = 'error'")
    assert errors and all(Path(p).name in message for p, message in errors)


def test_the_same_bytes_under_two_names_are_one_clip(tmp_path: Path) -> None:
    write(tmp_path / "in" / "b.wav", music(4))
    shutil.copy(tmp_path / "in" / "b.wav", tmp_path / "in" / "c.wav")
    dataset = ingest_into(tmp_path / "data", tmp_path / "in")
    assert _ask(dataset, "SELECT count(*) FROM clips") == [(2,)]
    found = _ask(dataset, "SELECT path, duplicate_of FROM duplicates")
    assert {(Path(p).name, Path(q).name) for p, q in found} == {("c.wav", "b.wav")}
    # whichever name is left stands for the clip, and the clip keeps its id
    before = _ask(dataset, "SELECT clip_id FROM clips ORDER BY 1")
    (tmp_path / "in" / "b.wav").unlink()
    dataset = ingest_into(tmp_path / "data", tmp_path / "in")
    assert _ask(dataset, "SELECT clip_id FROM clips ORDER BY 1") == before
    assert _ask(dataset, "SELECT error_type FROM files WHERE status = 'error'") == [("FileGone",)]


def test_only_what_changed_is_done_again(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for i in range(3):
        write(source / f"{i}.wav", music(2, seed=i))
    dataset = ingest_into(tmp_path / "data", source)
    with dataset.lock():
        again = stations.ingest(
            dataset, source, Config().override("ingest", {"window_s": 2.0}), QUIET
        )
    assert again.rows == 0
    write(source / "1.wav", music(4, seed=9))
    (source / "2.txt").write_text("a new caption")
    write(source / "3.wav", music(2, seed=3))
    with dataset.lock():
        again = stations.ingest(
            dataset, source, Config().override("ingest", {"window_s": 2.0}), QUIET
        )
    assert again.rows == 3
    clips = _ask(dataset, "SELECT path, count(*), max(caption) FROM clips GROUP BY 1 ORDER BY 1")
    assert [(Path(p).name, n, c) for p, n, c in clips] == [
        ("0.wav", 1, None), ("1.wav", 2, None), ("2.wav", 1, "a new caption"), ("3.wav", 1, None),
    ]  # fmt: skip


def test_captions_from_manifest_sidecars_and_tags_say_where_they_are_from(tmp_path: Path) -> None:
    import soundfile as sf

    source = tmp_path / "in"
    for name in ("m", "t", "j", "n"):
        write(source / f"{name}.wav", music(2, seed=ord(name)))
    (source / "t.txt").write_text("from text\n")
    (source / "j.json").write_text('{"caption": "from json", "tags": "a, b", "licence": "CC0"}')
    with sf.SoundFile(source / "tags.flac", "w", 44100, 2) as f:
        f.genre, f.title, f.artist = "Polka", "Title", "Somebody"
        f.write(music(2).T)
    rows = [{"path": str(source / f"{n}.wav")} for n in ("t", "j", "n")]
    rows += [{"path": str(source / "m.wav"), "caption": ""}, {"path": str(source / "tags.flac")}]
    dataset = ingest_into(tmp_path / "data", manifest(tmp_path / "m.jsonl", rows))
    found = {
        Path(p).stem: (c, s)
        for p, c, s in _ask(dataset, "SELECT path, caption, caption_source FROM clips")
    }
    assert found == {
        "m": ("", "manifest"),
        "t": ("from text", "sidecar .txt"),
        "j": ("from json", "sidecar .json"),
        "n": (None, None),
        "tags": ("genre: Polka; title: Title; artist: Somebody", "file tags"),
    }
    assert _ask(dataset, "SELECT tags, licence FROM clips WHERE licence IS NOT NULL") == [
        (["a", "b"], "CC0")
    ]


def test_errors_are_done_until_they_are_asked_for_again(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write(source / "a.wav", music(2))
    (source / "a.json").write_text("{")
    dataset = ingest_into(tmp_path / "data", source)
    assert _ask(dataset, "SELECT status FROM files") == [("error",)]
    config = Config().override("ingest", {"window_s": 2.0})
    with dataset.lock():
        assert stations.ingest(dataset, source, config, QUIET).rows == 0
        retry = stations.Call(retry_errors=True, quiet=True, log=lambda line: None)
        assert stations.ingest(dataset, source, config, retry).rows == 1
    (source / "a.json").unlink()
    with dataset.lock():
        stations.ingest(dataset, source, config, QUIET)
    assert _ask(dataset, "SELECT status FROM files") == [("ok",)]


def test_a_row_of_a_manifest_that_cannot_be_used_is_an_error_row(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "gone.wav"}\nnot json\n')
    dataset = ingest_into(tmp_path / "data", path)
    kinds = _ask(dataset, "SELECT error_type FROM files WHERE status = 'error' ORDER BY 1")
    assert kinds == [("BadManifestRow",), ("UnreadableAudio",)]
