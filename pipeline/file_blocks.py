"""Jobs over clips that need all windows of a file at once: the plan, cut into blocks of files.

A unit is a block of files, planned whole wherever one of its clips is pending, so that what is made
of a file does not depend on where a run was interrupted; rows are made for pending clips alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import duckdb

from .dataset import Dataset
from .job import Output, Unit, error_columns
from .views import connect, create_view, one_row, stream

FILES_A_UNIT = 8

_BLOCKS = """
SELECT * FROM (
  SELECT p.*, (dense_rank() OVER (ORDER BY p.path) - 1) // $files_a_unit AS block,
         d.clip_id IS NULL AS pending
  FROM ({plan}) p LEFT JOIN (SELECT clip_id FROM done) d USING (clip_id)
) QUALIFY bool_or(pending) OVER (PARTITION BY block)
"""


@dataclass
class BlockJob:
    """A Job over blocks of files. A subclass gives PLAN and `rows`.

    PLAN: SQL, a row a clip, with at least clip_id, path, window_index and problem (why no row can
    be made, or null). params: what its `$names` stand for.
    """

    PLAN: ClassVar[str]

    dataset: Dataset
    outputs: tuple[Output, ...]
    name: str
    limit: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def total(self) -> int:
        with self._connected() as con:
            sql = f"SELECT count(*) FROM ({self._sql()}) WHERE pending"  # noqa: S608
            (n,) = one_row(con, sql, self._params())
        return min(n, self.limit) if self.limit is not None else n

    def units(self) -> Iterator[Unit]:
        given = 0
        with self._connected() as con:
            rows = stream(con, f"{self._sql()} ORDER BY path, window_index", self._params())
            for _, block in itertools.groupby(rows, lambda r: r["block"]):
                if self.limit is not None and given >= self.limit:
                    return
                unit = Unit(tuple(block))
                given += sum(r["pending"] for r in unit.rows)
                yield unit

    def open(self) -> None:
        """Nothing to load, unless a subclass says so."""

    def rows(self, unit: Unit) -> list[Any]:
        """A row for each pending clip of the unit that has no problem, in order."""
        raise NotImplementedError

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        cls = self.outputs[0].cls
        rows: list[Any] = []
        for unit in units:
            rows += self.rows(unit)
            rows += [
                error_row(cls, row["clip_id"], row["problem"])
                for row in unit.rows
                if row["pending"] and row["problem"] is not None
            ]
        return {cls: rows}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        cls = self.outputs[0].cls
        failed = [row["clip_id"] for row in unit.rows if row["pending"]]
        return {cls: [cls(clip_id=i, **error_columns(error)) for i in failed]}

    def _connected(self) -> duckdb.DuckDBPyConnection:
        con = connect(self.dataset)
        out = self.outputs[0]
        create_view(con, out.cls, self.dataset, out.fingerprint, "done")
        return con

    def _params(self) -> dict[str, Any]:
        return {"files_a_unit": FILES_A_UNIT, **self.params}

    def _sql(self) -> str:
        return _BLOCKS.format(plan=self.PLAN)


def by_file(unit: Unit) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """(all good rows of a file, those of them that are pending), file by file."""
    good = (row for row in unit.rows if row["problem"] is None)
    for _, of_file in itertools.groupby(good, lambda r: r["path"]):
        rows = list(of_file)
        yield rows, [row for row in rows if row["pending"]]


def error_row(cls: type, clip_id: str, problem: str) -> Any:
    """The row of a clip that could not be worked on. problem: `Type: message`."""
    kind, _, message = problem.partition(": ")
    return cls(clip_id=clip_id, status="error", error_type=kind, error_message=message)
