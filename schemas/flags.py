"""Flags made from settings: the dataclasses are the truth, the command line is their view.

`flags_of(cls)` gives one typer annotation per setting, the default at the end of its help;
`add_flags` puts them, and flags of the call itself, into a command's signature.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import QamdtError
from .settings import kinds_of

CONFIG_FILE = Annotated[
    list[Path] | None,
    typer.Option("--config", help="TOML file of settings; may be given again, the last wins"),
]
SHOW_CONFIG = Annotated[
    bool, typer.Option("--show-config", help="print the settings as TOML and stop")
]
PLUGIN = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="Python file that adds listeners, rules or kinds of models; repeatable"
    ),
]
QUIET = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


def names_of(cls: type) -> list[str]:
    """The names of a section's settings."""
    return [f.name for f in dataclasses.fields(cls)]


def flags_of(cls: type) -> dict[str, Any]:
    """The annotation of each setting's flag, by name."""
    hints = typing.get_type_hints(cls)
    return {f.name: _flag(f, hints[f.name]) for f in dataclasses.fields(cls)}


def add_flags(
    run: Callable[..., None], own: list[inspect.Parameter], flags: Mapping[str, Any]
) -> None:
    """Give `run(**given)` the signature that typer reads: its own parameters, then `flags`.

    A flag that is not given is None, or False where it is a plain switch.
    """
    extra = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=_default(kind)
        )
        for name, kind in flags.items()
    ]
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}


def _default(kind: Any) -> Any:
    return False if typing.get_args(kind)[0] is bool else None


def _flag(field: dataclasses.Field[Any], hint: Any) -> Any:
    """The annotation of one setting's flag; its help ends with the default."""
    kind = next(k for k in kinds_of(hint) if k is not type(None))
    if typing.get_origin(kind) is typing.Literal:
        kind, choices = str, tuple(map(str, typing.get_args(kind)))
    else:
        choices = field.metadata.get("choices", ())
    default = field.default
    if typing.get_origin(kind) is tuple:
        kind = list[typing.get_args(kind)[0]]  # type: ignore[misc]
    if isinstance(default, tuple):
        default = " ".join(map(str, default))
    doc = field.metadata.get("doc", "") + (f" ({', '.join(choices)})" if choices else "")
    shown = "off" if default is None else default
    flag = f"--{field.name.replace('_', '-')}"
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    if was := field.metadata.get("was"):
        names.append(f"--{was.replace('_', '-')}")  # of the release before
    return Annotated[kind | None, typer.Option(*names, help=f"{doc} [dim]\\[{shown}][/dim]")]


def speak(app: typer.Typer, stopped: str) -> None:
    """Run the app; an error of ours is one line on standard error and exit code 1.

    stopped: what is said when Ctrl-C ends the command (exit code 130).
    """
    try:
        app()
    except QamdtError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho(stopped, err=True)
        sys.exit(130)
