"""What the terminal shows of any answer: rows as a table."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDE = 200  # columns, where the output is no terminal


def console_of() -> Console:
    """A console as wide as the terminal; wide enough for whole lines where there is none."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def print_rows(rows: Any, most: int, console: Console | None = None) -> None:
    """An Arrow table; at most `most` rows, and how many there are."""
    console = console or console_of()
    table = Table(box=box.SIMPLE_HEAD)
    for name in rows.column_names:
        table.add_column(escape(name), overflow="fold")
    for row in rows.slice(0, most).to_pylist():
        table.add_row(*(_cell(v) for v in row.values()))
    console.print(table)
    if rows.num_rows > most:
        console.print(f"{most} of {rows.num_rows} rows; --rows {rows.num_rows} shows all")


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]null[/dim]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"[dim]{len(value)} bytes[/dim]"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(text if len(text) <= 200 else text[:199] + "…")
