"""What `qamdt-curate models` shows: a list, or one model with its files and card."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from ...models.fetch import registry
from ...schemas.errors import WeightsMissing
from ..config import ModelsConfig


def print_models(console: Console) -> None:
    """Every known model, and whether its weights are here."""
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("model", "role", "licence", "MB", "from", "here"):
        table.add_column(head, overflow="fold", justify="right" if head == "MB" else "left")
    for entry in registry.entries():
        size = f"{entry.size / 1e6:.1f}"
        source = "this package" if entry.shipped else entry.source
        table.add_row(entry.name, entry.role, entry.licence, size, source, _state(entry.name))
    console.print(table)


def print_kinds(console: Console, models: ModelsConfig) -> None:
    """The kinds of every role, the model that the settings name, and the profiles."""
    from ...models.profile import profiles
    from ...models.ref import kinds_help
    from ..roles import ROLES, kinds_of

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("role", "kind", "what it is"):
        table.add_column(head, overflow="fold")
    for role in ROLES:
        for number, (usage, sentence) in enumerate(kinds_help(kinds_of(role))):
            table.add_row("" if number else role, usage, sentence)
        table.add_row("", escape(getattr(models, role)), "by these settings", style="bold")
    console.print(table)
    every = " or ".join(f"--config {name}" for name in profiles())
    console.print(
        f"all roles at once: {every}; docs/real-checkpoints.md tells more", highlight=False
    )


def print_info(console: Console, name: str) -> None:
    """One model: facts, files with SHA-256, and its card where it has one."""
    entry = registry.entry(name)
    for label, value in (
        ("model", f"{entry.name} {entry.version}"),
        ("role", entry.role),
        ("licence", entry.licence),
        ("source", entry.source),
        ("sha256", entry.sha256),
        ("digest", entry.digest),
        ("here", _state(name)),
    ):
        console.print(f"{label:8} {value}", highlight=False)
    card = registry.WEIGHTS / f"{name}.md"
    if card.exists():
        console.print(Markdown(card.read_text(encoding="utf-8")))
    elif not entry.shipped and _state(name) != "no":
        manifest: Path = registry.path(name) / registry.MANIFEST
        for file, facts in json.loads(manifest.read_text(encoding="utf-8"))["files"].items():
            console.print(f"{facts['sha256']}  {facts['size']:>11}  {file}", highlight=False)


def _state(name: str) -> str:
    try:
        return str(registry.path(name))
    except WeightsMissing:
        return "no"
