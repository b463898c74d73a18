"""Are two dataset folders equal, row for row? Used by the tests of resuming and of Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...curate.export.shards import Shard
from ...pipeline.dataset import Dataset
from ...pipeline.views import connect, create_view
from ...schemas.arrow import name_of
from ...schemas.tables import (
    Caption,
    Check,
    Clap,
    Clip,
    Decision,
    Fact,
    Generated,
    Level,
    Match,
    Music,
    Pmos,
    Signal,
    Tags,
)

COMPARED: tuple[type, ...] = (
    Clip,
    Pmos,
    Signal,
    Clap,
    Tags,
    Music,
    Level,
    Fact,
    Generated,
    Match,
    Check,
    Caption,
    Decision,
    Shard,
)
PASSING = ("scan",)  # number of the ingest run: an interrupted one needs two


@dataclass
class Difference:
    """lost: rows of the first that the second lacks. new: the reverse. doubled: clip_ids twice."""

    lost: dict[str, list[Any]] = field(default_factory=dict)
    new: dict[str, list[Any]] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)

    @property
    def none(self) -> bool:
        return not (self.lost or self.new or self.doubled)

    def __str__(self) -> str:
        return f"lost {_counts(self.lost)}, new {_counts(self.new)}, doubled {self.doubled}"


def compare(one: Dataset, other: Dataset) -> Difference:
    """Every column of every row of the tables made from clips, exactly."""
    difference = Difference()
    for cls in COMPARED:
        name = name_of(cls)
        first, second = _rows(one, cls), _rows(other, cls)
        if lost := [first[k] for k in first if second.get(k) != first[k]]:
            difference.lost[name] = lost
        if new := [second[k] for k in second if k not in first]:
            difference.new[name] = new
        if doubled := _doubled(other, cls):
            difference.doubled[name] = doubled
    return difference


def _rows(dataset: Dataset, cls: type) -> dict[str, Any]:
    """clip_id -> the row, as text (so that NaN equals itself)."""
    with connect(dataset) as con:
        _show(con, dataset, cls)
        table = con.table(name_of(cls)).to_arrow_table()
    columns = [n for n in table.column_names if n not in PASSING]
    return {row["clip_id"]: repr(row) for row in table.select(columns).to_pylist()}


def _doubled(dataset: Dataset, cls: type) -> int:
    with connect(dataset) as con:
        _show(con, dataset, cls)
        ids = con.table(name_of(cls)).to_arrow_table()["clip_id"].to_pylist()
    return len(ids) - len(set(ids))


def _show(con: Any, dataset: Dataset, cls: type) -> None:
    if cls is Shard:
        state = dataset.current("shards")
        create_view(con, cls, dataset, state.fingerprint if state else None)


def _counts(rows: dict[str, list[Any]]) -> dict[str, int]:
    return {name: len(own) for name, own in rows.items()}
