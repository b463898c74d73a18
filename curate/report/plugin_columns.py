"""The numbers of the report about plug-ins' tables: the spread of each numeric column."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from ...pipeline.views import one_row
from ...schemas.arrow import name_of, own_columns, schema_of
from .counts import histogram

SHARES = [0.05, 0.25, 0.5, 0.75, 0.95]


def columns_of(con: duckdb.DuckDBPyConnection, cls: type) -> list[dict[str, Any]]:
    """A row a numeric column: its table, meaning, n, least and greatest value, percentiles, and the
    counts of equal bins between the two."""
    table, schema = name_of(cls), schema_of(cls)
    rows = []
    for column in own_columns(cls):
        field = schema.field(column)
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            continue
        values = f'(SELECT "{column}" AS v FROM "{table}" WHERE "{column}" IS NOT NULL)'  # noqa: S608
        n, low, high, shares = one_row(
            con,
            f"SELECT count(v), min(v), max(v), quantile_cont(v, $shares) FROM {values}",  # noqa: S608
            {"shares": SHARES},
        )
        if n == 0:
            continue
        about = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        high_edge = high if high > low else low + 1.0
        counts = histogram(con, values, "v", low, high_edge)
        rows.append(
            {"table": table, "name": column, "doc": about.get("doc", ""), "n": n, "low": low}
            | {"high": high_edge, "counts": counts}
            | {f"p{100 * share:.0f}": v for share, v in zip(SHARES, shares, strict=True)}
        )
    return rows
