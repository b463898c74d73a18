"""What is ingested from: folders and manifests, and every way in which they can be wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qamdt.audio.sources import Entry, entries, tag_list
from qamdt.schemas.errors import ConfigError

ROW = {"path": "a.wav", "start_s": 1.5, "duration_s": 2.0, "caption": 'x, "y"', "tags": ["p", "q"]}


def _all(source: Path) -> list[Entry]:
    return list(entries(source, Counter()))


def test_a_folder_gives_its_audio_in_order_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("b.WAV", "a.mp3", "notes.txt", ".hidden.wav", "sub/c.flac", 'sub/näïve "q"\n.ogg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    ignored: Counter[str] = Counter()
    found = [Path(e.path).name for e in entries(tmp_path, ignored)]
    assert found == ["a.mp3", "b.WAV", "c.flac", 'näïve "q"\n.ogg']
    assert ignored == {".txt": 1, "hidden": 1}


def test_links_in_circles_are_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    found = {Path(e.path).name: e.problem for e in _all(tmp_path)}
    assert found["up"] is not None and found["up"][0] == "SymlinkLoop"
    assert found["self.wav"] is None  # ingest says so when it opens the file


def test_a_name_that_is_no_utf8_is_a_problem_that_names_it(tmp_path: Path) -> None:
    import os

    with open(os.fsencode(tmp_path) + b"/bad\xff.wav", "wb"):
        pass
    (entry,) = _all(tmp_path)
    assert entry.problem is not None and entry.problem[0] == "BadFileName"
    assert "bad\\xff.wav" in entry.path
    json.dumps(entry.path).encode()


def _write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        import csv

        flat = [{**r, "tags": ";".join(r["tags"])} for r in rows]
        with open(path, "w", newline="") as f:
            writer = csv.DictWriter(f, list(ROW), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(flat)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_every_manifest_says_the_same(tmp_path: Path, kind: str) -> None:
    (entry,) = _all(_write(tmp_path / f"m.{kind}", [ROW]))
    assert entry == Entry(str(tmp_path / "a.wav"), 1.5, 2.0, 'x, "y"', ["p", "q"])


def test_bad_rows_are_named_by_line_and_the_good_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"path": "a.wav"}\nnot json\n{"path": 3}\n[1]\n{"path": "b.wav", "start_s": -1}\n'
        '{"path": "c.wav", "duration_s": 0}\n{"path": "d.wav", "caption": 5}\n\n{"path": "e.wav"}\n'
    )
    found = _all(path)
    good = [Path(e.path).name for e in found if not e.problem]
    bad = [e.path.rsplit(":", 1)[1] for e in found if e.problem]
    assert good == ["a.wav", "e.wav"] and bad == ["2", "3", "4", "5", "6", "7"]


def test_csv_rows_with_too_many_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,caption\na.wav,x\nb.wav,y,z\n")
    assert [bool(e.problem) for e in _all(path)] == [False, True]


def test_wrong_sources_say_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a folder nor a manifest"):
        _all(tmp_path / "nothing")
    (tmp_path / "m.csv").write_text("file\nx.wav\n")
    with pytest.raises(ConfigError, match="no column `path`"):
        _all(tmp_path / "m.csv")


@pytest.mark.parametrize("given", ["rock, pop;  jazz", ["rock", "pop", " jazz "]])
def test_tags_from_text_or_list(given: object) -> None:
    assert tag_list(given) == ["rock", "pop", "jazz"]
