"""What `qamdt-curate search` shows: a table for people, or a line of JSON a clip for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..search import Hit, SearchResult
from .terminal import WIDE

DASH = "[dim]-[/dim]"


def print_hits(result: SearchResult, console: Console | None = None) -> None:
    """Rank, similarity, p-MOS and level, where the clip lies, what its caption says."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=box.SIMPLE_HEAD, title=f"Nearest by {result.model_id}", title_justify="left")
    for head in ("", "similarity", "p-MOS", "level", "start"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("file", "caption", "clip"):
        table.add_column(head, overflow="fold")
    for hit in result.hits:
        table.add_row(
            f"{hit.rank}",
            f"{hit.similarity:.3f}",
            DASH if hit.pmos is None else f"{hit.pmos:.2f}",
            DASH if hit.level is None else f"{hit.level}",
            _clock(hit.start_s),
            escape(Path(hit.path).name),
            DASH if hit.caption is None else escape(hit.caption),
            f"[dim]{escape(hit.clip_id)}[/dim]",
        )
    if result.hits:
        console.print(table)
    counts = f"{result.compared} clips compared"
    console.print(f"{counts}, {result.without} without an embedding" if result.without else counts)


def print_json(result: SearchResult) -> None:
    """One JSON object a clip, best first; nothing else on standard output."""
    for hit in result.hits:
        print(json.dumps(_plain(hit), ensure_ascii=False))


def _plain(hit: Hit) -> dict[str, object]:
    return asdict(hit) | {"similarity": round(hit.similarity, 6)}


def _clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
