"""What the terminal shows: the funnel and query results, as rich tables."""

from __future__ import annotations

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .funnel import Funnel

WIDE = 200  # columns, where the output is no terminal


def print_funnel(funnel: Funnel, console: Console | None = None) -> None:
    """Files, windows, what each station made of them, what was kept and why not the rest."""
    console = console or Console()
    table = Table(box=box.SIMPLE_HEAD, title="Funnel", title_justify="left")
    table.add_column("")
    for head in ("in", "ok", "error", "hours"):
        table.add_column(head, justify="right")
    ok = funnel.files - funnel.files_error
    table.add_row("files", f"{funnel.files}", f"{ok}", f"{funnel.files_error}", "")
    table.add_row("clips", f"{funnel.clips}", f"{funnel.clips}", "", f"{funnel.hours:.2f}")
    for name, (rows, good, bad) in funnel.tables.items():
        if name != "files":
            table.add_row(f"  {name}", f"{rows}", f"{good}", f"{bad}", "")
    if "decisions" in funnel.tables:
        table.add_row(
            "[bold]kept", "", f"[bold]{funnel.kept}", "", f"[bold]{funnel.kept_hours:.2f}"
        )
    console.print(table)
    why = Table(box=box.SIMPLE_HEAD, title="Dropped", title_justify="left")
    for head in ("reason", "clips", "for this alone", "hours"):
        why.add_column(head, justify="left" if head == "reason" else "right")
    for reason, (n, alone, hours) in funnel.reasons.items():
        why.add_row(reason, f"{n}", f"{alone}", f"{hours:.2f}")
    if funnel.duplicates:
        why.add_row("duplicate (same bytes, not in clips)", f"{funnel.duplicates}", "", "")
    if why.row_count:
        console.print(why)


def print_rows(answer: Any, most: int, console: Console | None = None) -> None:
    """An Arrow table; at most `most` rows, and how many there are."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=box.SIMPLE_HEAD)
    for name in answer.column_names:
        table.add_column(escape(name), overflow="fold")
    for row in answer.slice(0, most).to_pylist():
        table.add_row(*(_cell(v) for v in row.values()))
    console.print(table)
    if answer.num_rows > most:
        console.print(f"{most} of {answer.num_rows} rows; --rows {answer.num_rows} shows all")


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]null[/dim]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"[dim]{len(value)} bytes[/dim]"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(text if len(text) <= 200 else text[:199] + "…")
