"""Dataset and run folders of an earlier version are read, and gone on with.

Nothing is used here but the commands and what stands on the disk: names inside may change, these
may not. tests/data/old/README.md says what lies there and how it was made.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from qamdt.curate.cli import main as curate_main
from qamdt.train.cli import main as train_main

OLD = Path(__file__).parent / "data" / "old"
WRITTEN_AT = "/qamdt-old/music"
DONE = "files clips pmos signal clap tags music facts generated texts".split()  # never made again
FIT = """--size nano --width 32 --depth 4 --decoder-depth 2 --heads 2 --frames 128 --bands 16
  --text-width 384 --patch-frames 8 --patch-bands 2 --loader-workers 0 --steps 8 --batch-size 2
  --demo-every 0 --validate-every 0""".split()
# Which text a language model writes is its own affair; what was written before stays.
OF_THE_LLM = {"merged", "guards", "caption_reason", "sim_merged", "request"}


def command(main: Callable[[], None], *words: object) -> None:
    """Run a command of the package in this process; it must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["qamdt", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            assert not end.code, (words, end.code)


def curate(*words: object) -> None:
    command(curate_main, *words)


def clips_full(folder: Path) -> dict[str, dict[str, Any]]:
    out = folder / "answer.jsonl"
    curate("sql", folder, "SELECT * FROM clips_full", "--json", out)
    return {row["clip_id"]: row for row in map(json.loads, out.read_text().splitlines())}


def golden(name: str) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, (OLD / name).read_text().splitlines())
    return {row["clip_id"]: row for row in rows}


def states(folder: Path) -> dict[str, dict[str, Any]]:
    files = folder.glob("*/_current.json")
    return {f.parent.name: json.loads(f.read_text()) for f in files}


def parts(folder: Path, tables: list[str]) -> dict[str, bytes]:
    """Every part of these tables, in whatever state, and its bytes."""
    files = [f for t in tables for f in folder.glob(f"{t}/*/part-*.parquet")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def assert_same(ours: Any, theirs: Any, words: object, tolerance: float = 1e-4) -> None:
    if isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=tolerance), words
    elif isinstance(theirs, list) and theirs and isinstance(theirs[0], float):
        for a, b in zip(ours, theirs, strict=False):  # of embeddings only the beginning is kept
            assert_same(a, b, words, 1e-3)
    else:
        assert ours == theirs, words


def assert_rows(folder: Path, name: str) -> None:
    """clips_full shows every column and value that it showed then; more columns are welcome."""
    before = golden("clips_full-before.jsonl")
    rows, wanted = clips_full(folder), golden(name)
    assert rows.keys() == wanted.keys()
    for clip, row in wanted.items():
        rows[clip]["path"] = Path(rows[clip]["path"]).name
        new = before[clip]["refined_caption"] is None
        for column in row.keys() - (OF_THE_LLM if new else set()):
            assert_same(rows[clip][column], row[column], (clip, column))


def _request_hash(path: Path) -> str:
    """What `files.request_sha256` holds: the request of a plain folder, and its sidecars' states."""
    fields = "path start_s duration_s caption tags source licence problem extra".split()
    request = json.dumps(dict.fromkeys(fields) | {"path": str(path)})
    times = json.loads((OLD / "times.json").read_text())
    beside = [path.with_suffix(s) for s in (".txt", ".json")]
    here = [OLD / "music" / b.name for b in beside]
    sizes = [
        (b.stat().st_size, times[b.name]) if b.exists() else None for b in here
    ]  # `path` itself may lie nowhere: at the place where it was written
    return hashlib.sha256(f"[{request}]{sizes}".encode()).hexdigest()


def _move(folder: Path, music: Path) -> None:
    """Say in the parts of a dataset folder that its music lies in `music`, and nothing else."""
    for part in [*folder.glob("clips/*/part-*"), *folder.glob("files/*/part-*")]:
        rows = pq.read_table(part)
        columns = {"path": pc.replace_substring(rows["path"], WRITTEN_AT, str(music))}
        if "root" in rows.column_names:
            columns["root"] = pc.replace_substring(rows["root"], WRITTEN_AT, str(music))
            written = [_request_hash(Path(p)) for p in rows["path"].to_pylist()]
            assert written == rows["request_sha256"].to_pylist()
            hashes = [_request_hash(Path(p)) for p in columns["path"].to_pylist()]
            columns["request_sha256"] = pa.chunked_array([pa.array(hashes)])
        for name, column in columns.items():
            at = rows.column_names.index(name)
            rows = rows.set_column(at, rows.schema.field(name), column.cast(pa.string()))
        pq.write_table(rows, part, compression="zstd")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `music` and `dataset` as they were, at another place."""
    home = tmp_path_factory.mktemp("old")
    shutil.copytree(OLD / "music", home / "music")
    shutil.copytree(OLD / "dataset", home / "dataset")
    for name, time in json.loads((OLD / "times.json").read_text()).items():
        os.utime(home / "music" / name, ns=(time, time))
    _move(home / "dataset", home / "music")
    yield home


@pytest.fixture(scope="module")
def resumed(moved: Path) -> Path:
    """A copy of the dataset folder through which the whole line has run again."""
    shutil.copytree(moved / "dataset", moved / "resumed")
    curate("run", moved / "music", moved / "resumed", "--window-s", 5.12, "--workers", 0, "--quiet")
    return moved / "resumed"


def test_every_table_is_fresh_and_shows_what_it_showed(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curate("status", moved / "dataset")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    fresh = {words[0] for words in lines if len(words) > 2 and words[2] == "fresh"}
    assert fresh == states(moved / "dataset").keys() == states(OLD / "dataset").keys()
    assert_rows(moved / "dataset", "clips_full-before.jsonl")


def test_the_line_goes_on_with_what_is_missing_alone(moved: Path, resumed: Path) -> None:
    """No old part is touched, none has moved to another fingerprint; only the fourth file is new."""
    before, after = parts(moved / "dataset", DONE), parts(resumed, DONE)
    assert before.items() <= after.items()
    for table in DONE:
        there = [p.parent for p in moved.glob(f"dataset/{table}/*/part-*")]
        here = [p.parent for p in resumed.glob(f"{table}/*/part-*")]
        assert {p.name for p in here} == {p.name for p in there}, table
    # One part each: every listener but p-MOS had one file to hear.
    new = [name.split("/")[0] for name in after.keys() - before.keys()]
    assert sorted(n for n in new if n != "texts") == sorted(set(DONE[3:]) - {"texts"})


def test_what_depends_on_the_set_is_as_that_version_made_it(resumed: Path) -> None:
    """Levels and decisions of all clips; captions and all else of the old ones as they were."""
    assert_rows(resumed, "clips_full-after.jsonl")


def test_states_are_those_of_that_version(resumed: Path) -> None:
    """Stage, version, parameters, model and parents: what a fingerprint is a hash of.

    Only the names and sizes of the parts that were read are of this copy.
    """
    now, then = states(resumed), json.loads((OLD / "states.json").read_text())
    assert now.keys() >= then.keys()
    mine: set[str] = set()  # tables whose fingerprint covers those parts, and what comes of them
    while True:
        more = {
            table
            for table, state in then.items()
            if "parts_read" in state["about"]["params"] or mine & state["about"]["parents"].keys()
        }
        if more == mine:
            break
        mine = more
    assert "pmos" not in mine and "levels" in mine
    for table, state in then.items():
        ours, theirs = now[table]["about"], state["about"]
        if table in mine:
            for about in (ours, theirs):
                about["params"] = {k: v for k, v in about["params"].items() if k != "parts_read"}
                about["parents"] = {k: "" if k in mine else v for k, v in about["parents"].items()}
        else:
            assert now[table]["fingerprint"] == state["fingerprint"], table
        assert ours == theirs, table


def test_a_training_run_goes_on_to_the_same_loss(moved: Path) -> None:
    run = moved / "run"
    shutil.copytree(OLD / "run", run)
    command(train_main, "fit", moved / "dataset", run, *FIT, "--device", "cpu", "--quiet")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    wanted = [json.loads(line) for line in (OLD / "log-8.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [4, 8]
    for ours, theirs in zip(log, wanted, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        assert ours["lr"] == pytest.approx(theirs["lr"], rel=1e-9)
    assert (run / "checkpoints" / "latest").read_text().strip() == "step-00000008"
    shown = json.loads((run / "checkpoints" / "step-00000008" / "state.json").read_text())
    assert shown["step"] == 8


def test_an_old_checkpoint_is_sampled_from(moved: Path) -> None:
    run = moved / "run-4"
    shutil.copytree(OLD / "run", run)
    out = moved / "sounds"
    command(
        train_main, "generate", run, "--out", out, "--prompt", "solo piano", "--quality", 3,
        "--steps", 2, "--seconds", 5.12, "--device", "cpu",
    )  # fmt: skip
    assert list(out.rglob("*.wav")) or list(out.rglob("*.flac"))
