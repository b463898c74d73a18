"""What the commands of a command line take, as text that is kept in tests/golden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qamdt.schemas.commands import CommandLine, every_command


def options_text(program: str, app: CommandLine) -> str:
    """Every command: its arguments, then its flags by panel, each with its default."""
    return "\n".join(line for name, c in every_command(app) for line in _lines(program, name, c))


def _lines(program: str, name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [p.metavar or p.name.upper() for p in arguments]
    yield " ".join([program, name, *words])
    panels: dict[str, list[Any]] = {}
    for option in command.params:
        if option.param_type_name == "option":
            panels.setdefault(option.rich_help_panel or "Options", []).append(option)
    for panel in sorted(panels, key=lambda p: p == "This call"):
        yield f"  {panel}"
        yield from (f"    {_option(option)}" for option in panels[panel])
    yield ""


def _option(option: Any) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    default = option.default
    if isinstance(default, list | tuple):
        default = ",".join(map(str, default))
    marks = [
        "" if default is None or (option.is_flag and not option.secondary_opts) else f"= {default}",
        "several" if option.multiple else "",
        "required" if option.required else "",
        "hidden" if option.hidden else "",
    ]
    return " ".join([names, *filter(None, marks)])
