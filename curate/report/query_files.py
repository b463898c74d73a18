"""Answers of `sql` as files: CSV, JSON lines, Parquet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq


def write_csv(answer: pa.Table, path: Path) -> None:
    """CSV with a header; lists are written as JSON, since CSV has none."""
    flat = [
        pa.array([None if v is None else json.dumps(v) for v in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for column in answer.columns
    ]
    table = pa.Table.from_arrays(flat, names=answer.column_names)
    if str(path) == "-":
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    else:
        pyarrow.csv.write_csv(table, path)


def write_json(answer: pa.Table, path: Path) -> None:
    """One JSON object a line."""
    lines = (json.dumps(row, ensure_ascii=False, default=str) for row in answer.to_pylist())
    text = "".join(line + "\n" for line in lines)
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def write_parquet(answer: pa.Table, path: Path) -> None:
    """Parquet, zstd."""
    pq.write_table(answer, path, compression="zstd")
