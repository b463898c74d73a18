"""SQL conditions that a user writes: one expression over a clip, checked before it is run.

DuckDB's own parser reads the text (`json_serialize_sql`): it must be one expression, and what it
asks may come from the dataset's views alone, from no file, function of tables or statement. What is
run is the text that DuckDB makes of that parse, on a connection that can open nothing outside of the
dataset folder and whose settings are locked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from ..schemas.errors import ConfigError
from .dataset import Dataset


def lock_down(con: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Let a connection read the dataset folder and nothing else, for good."""
    folder = str(dataset.root.resolve()) + "/"
    con.execute(
        "SET allowed_directories = $folders", {"folders": [folder, str(dataset.root) + "/"]}
    )
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def check_condition(
    con: duckdb.DuckDBPyConnection, text: str, what: str, relation: str = "clips_full"
) -> str:
    """The condition `text` as DuckDB writes it: one expression, to be put between brackets.

    con: has the dataset's views. what: how an error names the condition. relation: the view whose
    columns it may name; other views it may read in a subquery.
    Raises ConfigError where it is no expression, reads something else, names a column that is not
    there, or is neither true nor false.
    """
    (parsed,) = con.execute(
        "SELECT json_serialize_sql('SELECT ' || $text)", {"text": text}
    ).fetchall()
    tree = json.loads(parsed[0])
    if tree.get("error"):
        raise ConfigError(f"{what}: {text!r} is no SQL condition: {tree.get('error_message')}")
    if len(tree["statements"]) != 1 or not _is_expression(tree["statements"][0]["node"]):
        raise ConfigError(
            f"{what}: {text!r}: expected one condition, as in a WHERE, and nothing behind it"
        )
    views = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    views |= {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    for source in _sources(tree["statements"][0]["node"]["select_list"]):
        if source not in views:
            raise ConfigError(
                f"{what}: {text!r} reads {source}; it may read the dataset's views alone"
            )
    canonical = _written(con, parsed[0])
    try:
        # LIMIT 0 binds names and types; a condition over an aggregate of its own is refused here.
        kinds = con.execute(
            f"SELECT clip_id, ({canonical}) AS answer FROM {relation} LIMIT 0"  # noqa: S608 - parsed
        ).description
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{what}: {text!r} cannot be answered: {reason}") from error
    if len(kinds) != 2:
        raise ConfigError(f"{what}: {text!r}: expected one condition, not one a column")
    if str(kinds[1][1]) != "BOOLEAN":
        raise ConfigError(
            f"{what}: {text!r} is {str(kinds[1][1]).lower()}, not true or false: compare it with "
            "something, as in pmos > 3"
        )
    return canonical


def _is_expression(node: dict[str, Any]) -> bool:
    """Whether a statement is `SELECT <one expression>` and has no other part."""
    parts = ("where_clause", "group_expressions", "group_sets", "having", "qualify", "sample")
    return (
        node.get("type") == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["select_list"][0].get("class") != "STAR"
        and not node["select_list"][0].get("alias")
        and node["from_table"]["type"] == "EMPTY"
        and not node.get("modifiers")
        and not node["cte_map"]["map"]
        and not any(node.get(part) for part in parts)
    )


def _sources(node: Any) -> Iterator[str]:
    """What subqueries read: tables by name, and whatever else, by its kind."""
    if isinstance(node, list):
        for item in node:
            yield from _sources(item)
    elif isinstance(node, dict):
        kind = node.get("type")
        if kind == "BASE_TABLE":
            yield str(node.get("table_name"))
        elif kind in ("TABLE_FUNCTION", "SHOW_REF", "COLUMN_DATA", "BOUND_TABLE_REF"):
            yield str(kind).replace("_", " ").lower()
        for value in node.values():
            yield from _sources(value)


def _written(con: duckdb.DuckDBPyConnection, parsed: str) -> str:
    """The parsed expression as text, without comments."""
    (row,) = con.execute(
        "SELECT json_deserialize_sql($parsed::JSON)", {"parsed": parsed}
    ).fetchall()
    return str(row[0]).removeprefix("SELECT ")
