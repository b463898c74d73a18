"""The store: commits are whole, states do not meet, and a run holds its folder."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.pipeline.dataset import Dataset, fingerprint
from qamdt.schemas.arrow import key, table
from qamdt.schemas.errors import DatasetBusy, StoreError
from qamdt.schemas.tables import Pmos


def _rows(*ids: str, status: str = "ok") -> list[Pmos]:
    return [Pmos(clip_id=i, status=status, pmos=3.0 if status == "ok" else None) for i in ids]


def _ids(dataset: Dataset, state: str = "f") -> list[str]:
    return sorted(
        i for p in dataset.parts("pmos", state) for i in pq.read_table(p)["clip_id"].to_pylist()
    )


def test_the_same_rows_committed_twice_stand_once(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    for _ in range(2):
        dataset.commit(Pmos, "f", _rows("a", "b"))
    assert _ids(dataset) == ["a", "b"]


def test_no_rows_no_part(tmp_path: Path) -> None:
    assert Dataset(tmp_path).commit(Pmos, "f", []) is None
    assert Dataset(tmp_path).parts("pmos", "f") == []


def test_a_leftover_temporary_file_is_no_part_and_is_swept(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    dataset.commit(Pmos, "f", _rows("a"))
    torn = dataset.folder("pmos", "f") / ".part-x.parquet.123"
    torn.write_bytes(b"torn")
    assert _ids(dataset) == ["a"]
    with dataset.lock():
        assert not torn.exists()


def test_forget_errors_leaves_the_good_rows(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    dataset.commit(Pmos, "f", _rows("a") + _rows("b", status="error"))
    dataset.commit(Pmos, "f", _rows("c", status="error"))
    assert dataset.forget_errors("pmos", "f") == 2
    assert _ids(dataset) == ["a"]
    assert dataset.forget_errors("pmos", "f") == 0


def test_stale_follows_the_chain_of_parents(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    dataset.adopt("clips", "1", {"parents": {}})
    dataset.adopt("pmos", "2", {"parents": {"clips": "1"}})
    dataset.adopt("levels", "3", {"parents": {"pmos": "2"}})
    assert dataset.stale_parent("levels") is None
    dataset.adopt("clips", "9", {"parents": {}})
    assert dataset.stale_parent("pmos") == "clips"
    assert dataset.stale_parent("levels") == "pmos"
    dataset.adopt("clips", "1", {"parents": {}})  # the old settings again: the old rows again
    assert dataset.stale_parent("levels") is None


def test_a_damaged_pointer_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pmos").mkdir()
    (tmp_path / "pmos" / "_current.json").write_text("{")
    with pytest.raises(StoreError, match="run the station again"):
        Dataset(tmp_path).current("pmos")


_PARAMS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4)


@given(_PARAMS, _PARAMS)
def test_fingerprints_are_equal_exactly_when_settings_are(a: dict, b: dict) -> None:
    assert (fingerprint("s", 1, a, {})[0] == fingerprint("s", 1, b, {})[0]) == (a == b)
    shuffled = dict(reversed(list(a.items())))
    assert fingerprint("s", 1, a, {}) == fingerprint("s", 1, shuffled, {})


def test_every_part_of_a_fingerprint_counts() -> None:
    states = {
        fingerprint("s", 1, {}, {})[0],
        fingerprint("t", 1, {}, {})[0],
        fingerprint("s", 2, {}, {})[0],
        fingerprint("s", 1, {"x": 1}, {})[0],
        fingerprint("s", 1, {}, {"clips": "1"})[0],
        fingerprint("s", 1, {}, {}, "model")[0],
        fingerprint("s", 1, {}, {}, "model", "digest")[0],
    }
    assert len(states) == 7


def test_about_is_json(tmp_path: Path) -> None:
    state, about = fingerprint("s", 1, {"x": [1, 2]}, {"clips": "1"})
    Dataset(tmp_path).adopt("pmos", state, about)
    current = Dataset(tmp_path).current("pmos")
    assert current is not None and json.loads(json.dumps(about)) == current.about


def _hold(root: Path, ready: object, end: object) -> None:
    with Dataset(root).lock():
        ready.set()  # type: ignore[attr-defined]
        end.wait(30)  # type: ignore[attr-defined]


def test_a_second_run_is_refused_and_a_killed_one_is_forgotten(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, end = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, ready, end))
    other.start()
    assert ready.wait(30)
    with pytest.raises(DatasetBusy), Dataset(tmp_path).lock():
        pass
    other.kill()
    other.join()
    with Dataset(tmp_path).lock():
        pass


def test_a_run_waits_for_workers_of_an_ended_one(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    with dataset.worker_lock(), pytest.raises(DatasetBusy), dataset.lock(wait_s=0.2):
        pass


@table("spans", 1, keys=("span",))
@dataclass(frozen=True, kw_only=True)
class Span:
    span: str = key("its own key")


@table("loose", 1)
@dataclass(frozen=True, kw_only=True)
class Loose:
    span: str = key("a key that is not declared")


def test_rows_of_other_keys_are_another_part(tmp_path: Path) -> None:
    """A table with a key of its own keeps every part; one that declares none is refused."""
    dataset = Dataset(tmp_path)
    for span in ("a", "b", "a"):
        dataset.commit(Span, "f", [Span(span=span)])
    assert len(dataset.parts("spans", "f")) == 2
    with pytest.raises(StoreError, match="Loose has no column clip_id"):
        dataset.commit(Loose, "f", [Loose(span="a")])
