"""Tables made by SQL over the whole set: made again whenever what they read has changed.

Their fingerprint also covers the parts that were read, so a state is complete or it is another
state; the superseded one is deleted, as it costs nothing to make.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas.arrow import keys_of, schema_of
from .dataset import Dataset
from .job import Output, output
from .runner import Summary

ROWS_A_PART = 500_000


def sql_output(
    dataset: Dataset,
    cls: type,
    version: int,
    params: Mapping[str, Any],
    reads: Sequence[str],
    caches: Sequence[str] = (),
) -> Output:
    """The state of a table made by SQL from all that is committed now in the tables `reads`.

    caches: tables read whose rows depend on their own keys alone; more rows there change nothing.
    """
    parts = parts_read(dataset, reads)
    return output(dataset, cls, version, {**params, "parts_read": parts}, [*reads, *caches])


def parts_read(dataset: Dataset, tables: Sequence[str]) -> dict[str, str]:
    """table -> a hash of the parts that are committed now, names and sizes."""
    digests = {}
    for table in tables:
        state = dataset.current(table)
        parts = dataset.parts(table, state.fingerprint) if state else []
        names = [f"{part.name} {part.stat().st_size}" for part in parts]
        digests[table] = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return digests


def make_table(
    dataset: Dataset, out: Output, con: duckdb.DuckDBPyConnection, sql: str, params: Any = None
) -> Summary:
    """Write the rows of a query as the table `out` and make it current.

    The query's columns are those of the row class, by name. Streams: memory does not grow with
    the set. A state that is current is whole, and is left as it is; what a killed run left of this
    state is not, and goes first.
    """
    current = dataset.current(out.table)
    if current is None or current.fingerprint != out.fingerprint:
        dataset.drop_state(out.table, out.fingerprint)
        schema = schema_of(out.cls)
        for batch in con.sql(sql, params=params).to_arrow_reader(ROWS_A_PART):
            rows = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            if rows.num_rows:
                dataset.commit_arrow(out.table, out.fingerprint, rows, keys=keys_of(out.cls))
        dataset.adopt(out.table, out.fingerprint, out.about)
        dataset.drop_other_states(out.table, out.fingerprint)
    return _summary(dataset, out)


def _summary(dataset: Dataset, out: Output) -> Summary:
    counts: Counter[tuple[str, str]] = Counter()
    rows = 0
    for part in dataset.parts(out.table, out.fingerprint):
        file = pq.ParquetFile(part)
        rows += file.metadata.num_rows
        if "status" in file.schema_arrow.names:
            for batch in file.iter_batches(columns=["status"]):
                values = batch.column(0).value_counts().to_pylist()
                counts.update({(out.table, f["values"]): f["counts"] for f in values})
    return Summary(out.table, rows, rows, counts)
