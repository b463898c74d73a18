"""DuckDB views over a dataset folder: one per table, and `clips_full`, the join of all.

`connect` gives a connection of its own, in memory, that reads the Parquet parts in place. File
names are handed to DuckDB as values, never pasted into SQL. Tables that are stale or were never
made are there too, empty, so that a question can be asked at any stage of the work. A plug-in's
table is described by the footer of its parts: it is there whether the plug-in is loaded or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas.arrow import declaration_of, name_of, own_columns, row_class_of, schema_of
from ..schemas.errors import StoreError
from ..schemas.tables import TABLES, Clip, File
from .dataset import Dataset


def tables_of(dataset: Dataset) -> tuple[type, ...]:
    """The row classes of a dataset folder's views: our own, then those of plug-ins by name."""
    return (*TABLES, *plugin_tables(dataset))


def plugin_tables(dataset: Dataset) -> tuple[type, ...]:
    """The row classes of the plug-ins' tables that hold rows, by name, as their parts state them."""
    ours = {name_of(cls) for cls in TABLES}
    classes = []
    for name in dataset.tables():
        state = None if name in ours else dataset.current(name)
        parts = dataset.parts(name, state.fingerprint) if state else []
        if parts and (cls := row_class_of(pq.read_schema(parts[0]))):
            classes.append(cls)
    return tuple(classes)


def view_names() -> list[str]:
    """The views that every dataset folder has, as `sql` documents them."""
    names = [name_of(cls) for cls in TABLES]
    return [*names[:2], "duplicates", *names[2:], "clips_full"]


def connect(root: str | Path | Dataset, memory_mb: int = 512) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with the views of the dataset folder `root`.

    memory_mb: what DuckDB may take before it spills to the folder's own `.spill`.
    Raises StoreError when there is no dataset folder.
    """
    dataset = root if isinstance(root, Dataset) else Dataset(Path(root))
    if not dataset.tables():
        raise StoreError(
            f"{dataset.root} holds no tables; make it first: qamdt-curate ingest AUDIO {dataset.root}"
        )
    con = open_duckdb(dataset, memory_mb)
    tables = tables_of(dataset)
    for cls in tables:
        state = dataset.current(name_of(cls))
        fresh = state is not None and dataset.stale_parent(name_of(cls)) is None
        name = f"{name_of(cls)}_history" if cls in (File, Clip) else name_of(cls)
        create_view(con, cls, dataset, state.fingerprint if state and fresh else None, name)
    _newest_files(con)
    con.execute(_clips_full(tables))
    return con


def open_duckdb(dataset: Dataset, memory_mb: int = 512) -> duckdb.DuckDBPyConnection:
    """An empty in-memory connection that spills into the dataset folder, not into memory."""
    con = duckdb.connect(
        config={
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(dataset.root / ".spill"),
            "preserve_insertion_order": False,
        }
    )
    con.execute("SET enable_progress_bar = false")
    return con


def create_view(
    con: duckdb.DuckDBPyConnection,
    cls: type,
    dataset: Dataset,
    fingerprint: str | None,
    name: str | None = None,
) -> None:
    """A view of one state of one table; empty, with its columns, where nothing is committed."""
    view = name or name_of(cls)
    parts = dataset.parts(name_of(cls), fingerprint) if fingerprint else []
    if parts:
        con.read_parquet([str(p) for p in parts]).create_view(view)
    else:
        con.register(view, _without_float16(schema_of(cls)).empty_table())


def _without_float16(schema: pa.Schema) -> pa.Schema:
    """DuckDB reads float16 from Parquet as float32, and takes none from Arrow."""
    half = pa.list_(pa.float16())
    return pa.schema([f.with_type(pa.list_(pa.float32())) if f.type == half else f for f in schema])


def one_row(con: duckdb.DuckDBPyConnection, sql: str, params: Any = None) -> Any:
    """The only row of a query's answer. (`fetchone` would leave the connection busy.)"""
    (row,) = con.execute(sql, params).fetchall()
    return row


def stream(
    con: duckdb.DuckDBPyConnection, sql: str, params: Any = None
) -> Iterator[dict[str, Any]]:
    """The rows of a query as dicts, a few at a time; the connection is busy till the end."""
    cursor = con.execute(sql, params)
    names = [column[0] for column in cursor.description or ()]
    while batch := cursor.fetchmany(1024):
        for row in batch:
            yield dict(zip(names, row, strict=True))


def _newest_files(con: duckdb.DuckDBPyConnection) -> None:
    """What counts of the ingest runs' rows.

    files       the newest row of each path
    clips       the windows of those rows, each clip_id once (the first path in order); all are ok
    duplicates  the other windows with the same clip_id, and the path that stands for them
    """
    con.execute(
        "CREATE VIEW files AS SELECT * FROM files_history"
        " QUALIFY row_number() OVER (PARTITION BY path ORDER BY scan DESC) = 1"
    )
    con.execute(
        "CREATE VIEW clips_found AS SELECT c.*,"
        " row_number() OVER same AS copy, first_value(c.path) OVER same AS duplicate_of"
        " FROM clips_history c SEMI JOIN files f"
        " ON f.path = c.path AND f.scan = c.scan AND f.status = 'ok'"
        " WINDOW same AS (PARTITION BY c.clip_id ORDER BY c.path, c.caption)"
    )
    con.execute(
        "CREATE VIEW clips AS SELECT * EXCLUDE (copy, duplicate_of, status, error_type,"
        " error_message) FROM clips_found WHERE copy = 1"
    )
    con.execute(
        "CREATE VIEW duplicates AS SELECT clip_id, path, duplicate_of, start_s, duration_s,"
        " caption, source, skip FROM clips_found WHERE copy > 1"
    )


def full_columns(tables: Sequence[type]) -> dict[str, tuple[type, str]]:
    """column of `clips_full` -> (table, its column), of those tables whose columns stand there.

    The columns that name a model have their table's name before them, and so has a plug-in's column
    whose name another table has.
    """
    columns: dict[str, tuple[type, str]] = {}
    taken = {*(f.name for f in schema_of(Clip)), "errors"}
    for cls in tables:
        if not declaration_of(cls).in_full:
            continue
        table = name_of(cls)
        renamed = {"model_id": f"{table}_model", "weights": f"{table}_weights"}
        for column in own_columns(cls):
            name = renamed.get(column, column)
            columns[f"{table}_{name}" if name in taken else name] = (cls, column)
            taken.add(name)
    return columns


def _clips_full(tables: Sequence[type]) -> str:
    """The join, written out from the row classes: their names alone go into it, in quotes."""
    full = [name_of(cls) for cls in tables if declaration_of(cls).in_full]
    columns = ["c.*"] + [
        f'"{name_of(cls)}"."{column}" AS "{name}"'
        for name, (cls, column) in full_columns(tables).items()
    ]
    errors = (
        f"CASE WHEN \"{name}\".status = 'error' THEN '{name}: ' || \"{name}\".error_type || ': '"
        f' || "{name}".error_message END'
        for name in full
    )
    joins = "".join(f' LEFT JOIN "{name}" ON "{name}".clip_id = c.clip_id' for name in full)
    columns.append(f"list_filter([{', '.join(errors)}], lambda e: e IS NOT NULL) AS errors")
    select = f"SELECT {', '.join(columns)} FROM clips c{joins}"  # noqa: S608 - names of ours
    return f"CREATE VIEW clips_full AS {select}"


def query(root: str | Path, sql: str) -> Any:
    """One question to a dataset folder; the answer as an Arrow table. Reads only.

    Raises StoreError when the text is not a single SELECT, or DuckDB cannot answer it.
    """
    con = connect(root)
    try:
        kinds = [s.type for s in con.extract_statements(sql)]
        if kinds not in ([duckdb.StatementType.SELECT], [duckdb.StatementType.EXPLAIN]):
            raise StoreError(
                f"expected one SELECT, got {[k.name for k in kinds]}; the dataset is read-only here"
            )
        return con.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise StoreError(f"the question cannot be answered: {error}") from error
    finally:
        con.close()
