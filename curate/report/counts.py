"""What the numbers of the report are counted with."""

from __future__ import annotations

import math
from typing import Any

import duckdb

from ...pipeline.views import stream

BINS = 40


def list_rows(con: duckdb.DuckDBPyConnection, sql: str, params: Any = None) -> list[dict[str, Any]]:
    return list(stream(con, sql, params))


def histogram(
    con: duckdb.DuckDBPyConnection, relation: str, column: str, low: float, high: float
) -> list[int]:
    """Counts of `BINS` equal bins over low..high; the outermost take what lies outside."""
    width = (high - low) / BINS
    counts = dict(
        con.execute(
            "SELECT greatest(0, least($last, floor((v - $low) / $width)))::INT, count(*)"  # noqa: S608
            f" FROM (SELECT {column} AS v FROM {relation}) WHERE v IS NOT NULL GROUP BY 1",
            {"last": BINS - 1, "low": low, "width": width},
        ).fetchall()
    )
    return [counts.get(i, 0) for i in range(BINS)]


def span(low: float, high: float) -> tuple[float, float]:
    """Bounds of a histogram, to a tenth outward, never empty."""
    low, high = math.floor(low * 10) / 10, math.ceil(high * 10) / 10
    return low, max(high, low + 0.1)
