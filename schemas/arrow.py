"""Row classes and their Arrow schemas: one dataclass per table, units in the footer.

A table is a frozen dataclass marked with `@table(name, version, ...)`. Its fields are columns; `col`
gives a column's meaning, unit and, where the Python type does not say it, its Arrow type. From
that follow the Arrow schema (`schema_of`), the conversion of rows (`to_arrow`) and the footer key
`qamdt.table = pmos/1`, by which a reader knows what it holds. What else the mark says is all that
the store, the views, the funnel, the report and the filter know of a table: nothing lists it again.

A plug-in's row class is made at run time (`row_class`), and made again from the footer of its parts
(`row_class_of`), so that a table is read where its plug-in is not there.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Declaration:
    """What `@table` says of a row class.

    station: the command that writes it; "" for a table outside of the views. keys: the columns that
    tell its rows apart; a part is named by their values. order: place among the tables. in_full:
    whether its columns stand in `clips_full`. in_funnel: whether its rows are counted there, with
    their errors. made_of: the arguments of `row_class`, of a plug-in's table.
    """

    name: str
    version: int
    station: str = ""
    keys: tuple[str, ...] = ("clip_id",)
    order: int = 0
    in_full: bool = False
    in_funnel: bool = False
    made_of: tuple[Any, ...] = ()

    @property
    def plugin(self) -> bool:
        return bool(self.made_of)


_declared: dict[str, type] = {}


def table(
    name: str,
    version: int,
    station: str = "",
    keys: tuple[str, ...] = ("clip_id",),
    order: int = 0,
    in_full: bool = False,
    in_funnel: bool = False,
) -> Callable[[type[R]], type[R]]:
    """Mark a frozen dataclass as the row class of the table `name`; see `Declaration`.

    Raises StoreError where another class of the package has that name.
    """

    def mark(cls: type[R]) -> type[R]:
        if station and (other := _declared.get(name)):
            raise StoreError(f"table {name}: {other.__name__} and {cls.__name__} declare it")
        if station:
            _declared[name] = cls
        return _marked(cls, Declaration(name, version, station, keys, order, in_full, in_funnel))

    return mark


def _marked(cls: type[R], declaration: Declaration) -> type[R]:
    cls.TABLE, cls.VERSION = declaration.name, declaration.version  # type: ignore[attr-defined]
    cls.DECLARED = declaration  # type: ignore[attr-defined]
    return cls


def declared() -> tuple[type, ...]:
    """The row classes that have a station, in their order."""
    return tuple(sorted(_declared.values(), key=lambda cls: declaration_of(cls).order))


def declaration_of(cls: type) -> Declaration:
    """What `@table` says of a row class."""
    declaration: Declaration = cls.DECLARED  # type: ignore[attr-defined]
    return declaration


def name_of(cls: type) -> str:
    """The name of the table that a row class is of."""
    return declaration_of(cls).name


def keys_of(cls: type) -> tuple[str, ...]:
    """The columns that tell rows apart. Raises StoreError where the class lacks one."""
    keys = declaration_of(cls).keys
    names = {f.name for f in dataclasses.fields(cls)}
    if missing := [key for key in keys if key not in names]:
        raise StoreError(
            f"{cls.__name__} has no column {missing[0]} to tell its rows apart; name those that do: "
            f'@table("{name_of(cls)}", ..., keys=(...))'
        )
    return keys


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
    declaration = declaration_of(cls)
    footer = {TABLE_KEY: f"{declaration.name}/{declaration.version}"}
    if declaration.plugin:  # of our own tables the package knows the rest
        footer[PLUGIN_KEY] = declaration.station
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
TABLE_KEY, PLUGIN_KEY = "qamdt.table", "qamdt.plugin"  # of the footer

PLUGIN_ORDER = 100  # after our own
Column = tuple[str, str, str, pa.DataType]  # name, doc, unit, Arrow type


def row_class(name: str, version: int, columns: tuple[Column, ...], station: str = "score") -> type:
    """The row class of a plug-in's table: a row a clip, with status columns, in `clips_full`.

    The same arguments give the same class, so that what is pickled holds the arguments instead.
    """
    return _row_class(name, version, columns, station)


@cache  # of a function whose arguments have no defaults: one key however it is called
def _row_class(name: str, version: int, columns: tuple[Column, ...], station: str) -> type:
    own = [
        (c, typing.Any | None, col(doc, unit=unit, arrow=arrow)) for c, doc, unit, arrow in columns
    ]
    shared = [
        ("clip_id", str, key("hash of file bytes, start and duration")),
        ("status", str, dataclasses.field(default="ok")),
        ("error_type", str | None, dataclasses.field(default=None)),
        ("error_message", str | None, dataclasses.field(default=None)),
    ]
    cls = dataclasses.make_dataclass(
        "".join(part.title() for part in name.split("_")),
        [*shared, *own],
        frozen=True,
        kw_only=True,
        namespace={"__module__": __name__},
    )
    declaration = Declaration(
        name, version, station, order=PLUGIN_ORDER, in_full=True, in_funnel=True,
        made_of=(name, version, columns, station),
    )  # fmt: skip
    return _marked(cls, declaration)


def row_class_of(schema: pa.Schema) -> type | None:
    """The row class of a plug-in's table, from the schema of one of its parts; None for others."""
    footer = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    if PLUGIN_KEY not in footer:
        return None
    name, _, version = footer[TABLE_KEY].partition("/")
    columns = []
    for f in schema:
        if f.name not in SHARED:
            about = {k.decode(): v.decode() for k, v in (f.metadata or {}).items()}
            columns.append((f.name, about.get("doc", ""), about.get("unit", ""), f.type))
    return row_class(name, int(version), tuple(columns), footer[PLUGIN_KEY])


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(hint) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False
