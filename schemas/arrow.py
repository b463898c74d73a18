"""Row classes and their Arrow schemas: one dataclass per table, units in the footer.

A table is a frozen dataclass marked with `@table(name, version)`. Its fields are columns; `col`
gives a column's meaning, unit and, where the Python type does not say it, its Arrow type. From
that follow the Arrow schema (`schema_of`), the conversion of rows (`to_arrow`) and the footer key
`qamdt.table = pmos/1`, by which a reader knows what it holds.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa

from .errors import StoreError

R = TypeVar("R")

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    list[str]: pa.list_(pa.string()),
    list[float]: pa.list_(pa.float64()),
}


def col(doc: str, *, unit: str = "", arrow: pa.DataType | None = None) -> Any:
    """A column that is null where the row is an error.

    doc: what it means. unit: physical unit or range. arrow: the Arrow type where the Python
    type is too wide (float32, float16, ...).
    """
    return dataclasses.field(default=None, metadata={"doc": doc, "unit": unit, "arrow": arrow})


def key(doc: str) -> Any:
    """A column that every row has."""
    return dataclasses.field(metadata={"doc": doc, "unit": "", "arrow": None})


def table(name: str, version: int) -> Callable[[type[R]], type[R]]:
    """Mark a frozen dataclass as the row class of the table `name`."""

    def mark(cls: type[R]) -> type[R]:
        cls.TABLE = name  # type: ignore[attr-defined]
        cls.VERSION = version  # type: ignore[attr-defined]
        return cls

    return mark


def name_of(cls: type) -> str:
    """The name of the table that a row class is of."""
    name: str = cls.TABLE  # type: ignore[attr-defined]
    return name


@cache
def schema_of(cls: type) -> pa.Schema:
    """The Arrow schema of a row class, documentation and units in the field metadata."""
    hints = typing.get_type_hints(cls, include_extras=False)
    fields = []
    for f in dataclasses.fields(cls):
        kind, nullable = _without_none(hints[f.name])
        arrow = f.metadata.get("arrow") or _ARROW.get(kind)
        if arrow is None:
            raise StoreError(f"{cls.__name__}.{f.name}: no Arrow type for {kind}; give col(arrow=)")
        about = {k: v for k in ("doc", "unit") if (v := f.metadata.get(k))}
        fields.append(pa.field(f.name, arrow, nullable=nullable, metadata=about or None))
    footer = {"qamdt.table": f"{cls.TABLE}/{cls.VERSION}"}  # type: ignore[attr-defined]
    if features := getattr(
        cls, "HUGGINGFACE", None
    ):  # columns that `datasets` reads as its own kind
        footer["huggingface"] = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata=footer)


def to_arrow(cls: type, rows: Sequence[Any]) -> pa.Table:
    """Rows of one class as an Arrow table, in the order given."""
    schema = schema_of(cls)
    columns = [
        pa.array([getattr(row, f.name) for row in rows], type=f.type, from_pandas=False)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def own_columns(cls: type) -> list[str]:
    """The columns that are this table's own: all but the key and the status columns."""
    return [f.name for f in dataclasses.fields(cls) if f.name not in SHARED]


SHARED = ("clip_id", "status", "error_type", "error_message")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(hint) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False
