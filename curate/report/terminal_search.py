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

from ..search import Found, Hit
from .terminal import WIDE

DASH = "[dim]-[/dim]"


def print_hits(found: Found, console: Console | None = None) -> None:
    """Rank, similarity, p-MOS and level, where the clip lies, what its caption says."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=box.SIMPLE_HEAD, title=f"Nearest by {found.model_id}", title_justify="left")
    for head in ("", "similarity", "p-MOS", "level", "start"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("file", "caption", "clip"):
        table.add_column(head, overflow="fold")
    for hit in found.hits:
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
    if found.hits:
        console.print(table)
    said = f"{found.compared} clips compared"
    console.print(f"{said}, {found.without} without an embedding" if found.without else said)


def print_json(found: Found) -> None:
    """One JSON object a clip, best first; nothing else on standard output."""
    for hit in found.hits:
        print(json.dumps(_plain(hit), ensure_ascii=False))


def _plain(hit: Hit) -> dict[str, object]:
    return asdict(hit) | {"similarity": round(hit.similarity, 6)}


def _clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
