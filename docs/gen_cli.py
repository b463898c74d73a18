"""The command line as it is: read from the apps of the three commands, written as Markdown.

    python docs/gen_cli.py          prints the reference that the page `commands.md` shows

`commands()` is also what the tests hold the documents against. Flags that are hidden (old names that
still work) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rich.text import Text

APPS = {f"qamdt-{wing}": f"qamdt.{wing}.cli" for wing in ("curate", "train", "evaluate")}


@dataclass(frozen=True)
class Flag:
    """One option of a command."""

    names: tuple[str, ...]  # as ("--workers",), ("--need-caption", "--no-need-caption")
    switch: bool  # takes no value
    panel: str  # the heading under which `--help` shows it
    help: str


@dataclass(frozen=True)
class Command:
    """One command, as `qamdt-curate models list`."""

    name: str
    help: str
    arguments: tuple[tuple[str, str], ...]  # metavar and help
    flags: tuple[Flag, ...]

    @property
    def flag_names(self) -> set[str]:
        return {name for flag in self.flags for name in flag.names}


def commands() -> dict[str, Command]:
    """Every command of the three apps by its whole name, groups included."""
    return {c.name: c for program in APPS for c in _walk(*_root(program))}


def _root(program: str) -> tuple[Any, str, bool]:
    import typer

    app = import_module(APPS[program]).app
    return typer.main.get_command(app), program, app.rich_markup_mode == "rich"


def _walk(command: Any, name: str, markup: bool) -> Iterator[Command]:
    """The command, then those below it; one that is built when it is needed is built here."""
    command = getattr(command, "real", command)
    params = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = tuple(
        (p.metavar or p.name.upper(), _plain(p.help, markup))
        for p in params
        if p.param_type_name == "argument"
    )
    flags = tuple(_flag(p, markup) for p in params if p.param_type_name == "option")
    yield Command(name, _plain(command.help, markup), arguments, flags)
    for child, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _walk(below, f"{name} {child}", markup)


def _flag(param: Any, markup: bool) -> Flag:
    panel = getattr(param, "rich_help_panel", None) or "Options"
    names = (*param.opts, *param.secondary_opts)
    return Flag(names, bool(param.is_flag), str(panel), _plain(param.help, markup))


def _plain(text: str | None, markup: bool) -> str:
    """Help without the marks of the terminal, on one line."""
    shown = Text.from_markup(text or "").plain if markup else text or ""
    return " ".join(shown.split())


def markdown() -> str:
    """All commands: what each does, its arguments, its flags by panel."""
    return "\n".join(line for c in commands().values() for line in _section(c))


def _section(command: Command) -> Iterator[str]:
    level = min(1 + len(command.name.split()), 3)
    yield f"\n{'#' * level} `{command.name}`\n"
    yield f"{_cell(command.help)}\n"
    if command.arguments:
        yield "| argument | what |\n|---|---|"
        yield from (f"| `{name}` | {_cell(text)} |" for name, text in command.arguments)
        yield ""
    panels = list(dict.fromkeys(flag.panel for flag in command.flags))
    for panel in panels:
        yield f"| {_cell(panel)} | what |\n|---|---|"
        for flag in command.flags:
            if flag.panel == panel:
                yield f"| {', '.join(f'`{name}`' for name in flag.names)} | {_cell(flag.help)} |"
        yield ""


def _cell(text: str) -> str:
    """Text that no cell of a table and no Markdown takes for its own."""
    for mark in "\\`*_[]<|":
        text = text.replace(mark, f"\\{mark}" if mark not in "<|" else f"&#{ord(mark)};")
    return text


if __name__ == "__main__":
    print(markdown())
