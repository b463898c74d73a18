"""What the terminal shows of a dataset folder: its funnel, its tables, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ...pipeline.dataset import Dataset
from ...schemas.commands import closing
from .funnel import Funnel, funnel
from .status import paths_of
from .terminal import console_of


def print_status(dataset: Dataset, console: Console | None = None) -> None:
    """Files, clips, what each station made of them, what was kept and why not the rest."""
    counts, console = funnel(dataset), console or console_of()
    table = Table(box=box.SIMPLE_HEAD, title="Funnel", title_justify="left")
    table.add_column("")
    for head in ("in", "ok", "error", "hours"):
        table.add_column(head, justify="right")
    ok = counts.files - counts.files_error
    table.add_row("files", f"{counts.files}", f"{ok}", f"{counts.files_error}", "")
    table.add_row("clips", f"{counts.clips}", f"{counts.clips}", "", f"{counts.hours:.2f}")
    for name, (rows, good, bad) in counts.tables.items():
        if name != "files":
            table.add_row(f"  {name}", f"{rows}", f"{good}", f"{bad}", "")
    if "decisions" in counts.tables:
        table.add_row(
            "[bold]kept", "", f"[bold]{counts.kept}", "", f"[bold]{counts.kept_hours:.2f}"
        )
    console.print(table)
    _print_dropped(counts, console)


def print_filter(dataset: Dataset, console: Console | None = None) -> None:
    """What the filter kept, and every reason against the rest."""
    counts, console = funnel(dataset), console or console_of()
    share = f" ({counts.kept / counts.clips:.0%})" if counts.clips else ""
    console.print(
        f"kept [bold]{counts.kept}[/bold] of {counts.clips} clips{share}, "
        f"[bold]{counts.kept_hours:.2f}[/bold] of {counts.hours:.2f} hours",
        highlight=False,
    )
    _print_dropped(counts, console)


def print_tables(status: Mapping[str, Any], console: Console | None = None) -> None:
    """The tables and paths of `status_of`."""
    console = console or console_of()
    table = Table(box=box.SIMPLE_HEAD, title="Tables", title_justify="left")
    for head in ("table", "rows", "state", "fingerprint", "model"):
        table.add_column(head, justify="right" if head == "rows" else "left", overflow="fold")
    for row in status["tables"]:
        state = "fresh" if row["fresh"] else f"[yellow]stale: {row['stale']} has changed[/yellow]"
        table.add_row(
            row["name"], f"{row['rows']}", state, row["fingerprint"] or "", row["model"] or ""
        )
    console.print(table)
    for name, path in status["paths"].items():
        console.print(f"{name:11} {path}", highlight=False, markup=False, soft_wrap=True)


def print_next(dataset: Dataset) -> None:
    """What a whole line has made, and commands to try on it."""
    paths, root = paths_of(dataset), dataset.root
    opens = [
        (paths[name], text)
        for name, text in (
            ("report", "the report, with clips to listen to"),
            ("shards", "Parquet shards with audio"),
            ("card", "the dataset card"),
            ("logs", "what was printed"),
        )
        if name in paths
    ]
    worst = "SELECT path, start_s, pmos, drop_reasons FROM clips_full ORDER BY pmos LIMIT 20"
    closing(
        opens,
        [
            ["qamdt-curate", "search", root, "a slow, calm piano piece"],
            ["qamdt-curate", "sql", root, worst],
            ["qamdt-train", "latents", root],
        ],
    )


def _print_dropped(counts: Funnel, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="Dropped", title_justify="left")
    for head in ("reason", "clips", "for this alone", "hours"):
        table.add_column(head, justify="left" if head == "reason" else "right")
    for reason, (clips, alone, hours) in counts.reasons.items():
        table.add_row(reason, f"{clips}", f"{alone}", f"{hours:.2f}")
    if counts.duplicates:
        table.add_row("duplicate (same bytes, not in clips)", f"{counts.duplicates}", "", "")
    if table.row_count:
        console.print(table)
