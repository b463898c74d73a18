"""Row classes: schema and rows survive the way through Arrow and Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qamdt.curate.export.shards import Shard, ShardError
from qamdt.schemas.arrow import (
    col,
    declaration_of,
    keys_of,
    own_columns,
    row_class,
    row_class_of,
    schema_of,
    table,
    to_arrow,
)
from qamdt.schemas.errors import StoreError
from qamdt.schemas.tables import TABLES, Clap, Pmos, Row, Tags


def test_rows_survive_parquet(tmp_path: Path) -> None:
    rows = [
        Tags(clip_id="a", tag_names=["rock", 'naïve\n"x"'], tag_probabilities=[0.5, 0.25]),
        Tags(clip_id="b", status="error", error_type="E", error_message="why"),
    ]
    pq.write_table(to_arrow(Tags, rows), tmp_path / "t.parquet")
    back = [Tags(**row) for row in pq.read_table(tmp_path / "t.parquet").to_pylist()]
    assert back == rows


def test_footer_names_table_and_version_and_units(tmp_path: Path) -> None:
    pq.write_table(to_arrow(Pmos, []), tmp_path / "p.parquet")
    schema = pq.read_schema(tmp_path / "p.parquet")
    assert schema.metadata[b"qamdt.table"] == b"pmos/1"
    assert b"1..5" in schema.field("pmos").metadata[b"unit"]


@pytest.mark.parametrize("cls", TABLES, ids=lambda c: c.TABLE)
def test_every_column_is_documented_and_error_rows_fit(cls: type) -> None:
    for field in schema_of(cls):
        if field.name not in ("status", "error_type", "error_message"):
            assert field.metadata[b"doc"], field.name
    assert set(own_columns(cls)) <= set(schema_of(cls).names)


def test_embeddings_are_float16() -> None:
    assert schema_of(Clap).field("embedding").type == pa.list_(pa.float16())


def test_a_type_without_arrow_is_refused() -> None:
    @table("odd", 1)
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        x: complex | None = col("no Arrow type")

    with pytest.raises(StoreError, match=r"Odd\.x"):
        schema_of(Odd)


# What told rows apart when a part's name was first made of it: these names must stay.
FIRST_KEYS = {"clip_id", "path", "scan", "grouping", "text", "request"}


@pytest.mark.parametrize("cls", [*TABLES, Shard, ShardError], ids=lambda c: c.TABLE)
def test_parts_are_named_by_the_same_keys_as_ever(cls: type) -> None:
    assert set(keys_of(cls)) == FIRST_KEYS & set(schema_of(cls).names)


def test_tables_stand_in_their_order_and_names_are_taken_once() -> None:
    orders = [declaration_of(cls).order for cls in TABLES]
    assert orders == sorted(set(orders)) and len(TABLES) == 19
    with pytest.raises(StoreError, match="table pmos: Pmos and Other declare it"):

        @table("pmos", 1, station="score")
        @dataclass(frozen=True, kw_only=True)
        class Other(Row):
            x: float | None = col("a number")


@pytest.mark.parametrize("kind", [pa.float64(), pa.list_(pa.string())])
def test_a_class_made_at_run_time_is_read_back_from_its_part(
    tmp_path: Path, kind: pa.DataType
) -> None:
    cls = row_class("zcr", 3, (("crossings", "a doc", "Hz", kind),))
    value = 1.5 if kind == pa.float64() else ["x"]
    rows = [cls(clip_id="a", crossings=value), cls(clip_id="b", status="error")]
    pq.write_table(to_arrow(cls, rows), tmp_path / "p.parquet")
    back = row_class_of(pq.read_schema(tmp_path / "p.parquet"))
    assert own_columns(back) == own_columns(cls) == ["crossings"]
    assert declaration_of(back) == declaration_of(cls)
    assert (back is cls) == (kind == pa.float64())  # Parquet names a list's items otherwise
    assert [cls(**row) for row in pq.read_table(tmp_path / "p.parquet").to_pylist()] == rows
    assert row_class_of(schema_of(Pmos)) is None
