"""The funnel: what went in, what came out, and why the rest did not. Numbers only, from the views."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...pipeline.dataset import Dataset
from ...pipeline.views import connect, one_row, tables_of
from ...schemas.arrow import declaration_of, name_of


@dataclass(frozen=True)
class Funnel:
    """Counts and hours of a dataset folder.

    clips: windows in `clips`, short tails included. tables: rows in, ok and error of each table.
    reasons: reason -> (clips with it, clips with it alone, hours with it).
    """

    files: int
    files_error: int
    duplicates: int
    clips: int
    hours: float
    short_tails: int
    kept: int
    kept_hours: float
    tables: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    reasons: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Error rows of all tables that were made from the audio or from a model."""
        return sum(error for table, (_, _, error) in self.tables.items() if table != "levels")


def funnel(dataset: Dataset) -> Funnel:
    """The funnel of a dataset folder. Raises StoreError where there is none."""
    with connect(dataset) as con:
        files, files_error = one_row(con, "SELECT count(*), count_if(status = 'error') FROM files")
        (duplicates,) = one_row(con, "SELECT count(*) FROM duplicates")
        clips, hours, tails = one_row(
            con,
            "SELECT count(*), coalesce(sum(duration_s), 0) / 3600, count_if(skip IS NOT NULL) FROM clips",
        )
        kept, kept_hours = one_row(
            con,
            "SELECT count_if(kept), coalesce(sum(duration_s) FILTER (kept), 0) / 3600 FROM clips"
            " JOIN decisions USING (clip_id)",
        )
        reasons = con.execute(
            "SELECT reason, count(*), count_if(n = 1), sum(duration_s) / 3600 FROM ("
            " SELECT unnest(drop_reasons) AS reason, len(drop_reasons) AS n, duration_s"
            " FROM decisions JOIN clips USING (clip_id)) GROUP BY reason ORDER BY 2 DESC, 1"
        ).fetchall()
        levels = con.execute(
            "SELECT quality_level, count(*) FROM levels WHERE status = 'ok' GROUP BY 1 ORDER BY 1"
        ).fetchall()
        counted = [name_of(c) for c in tables_of(dataset) if declaration_of(c).in_funnel]
        tables = {name: one_row(con, _counts(name)) for name in counted if dataset.current(name)}
    return Funnel(
        files, files_error, duplicates, clips, hours, tails, kept, kept_hours, tables,
        {r: (n, alone, h) for r, n, alone, h in reasons}, dict(levels),
    )  # fmt: skip


def _counts(table: str) -> str:
    """In, ok and error of one table; of scores, those of clips that are still there."""
    here = "" if table == "files" else " SEMI JOIN clips USING (clip_id)"
    which = "count(*), count_if(status = 'ok'), count_if(status = 'error')"
    return f'SELECT {which} FROM "{table}"{here}'  # noqa: S608 - a name of ours
