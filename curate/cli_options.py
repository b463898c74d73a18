"""Flags made from the configuration: the dataclasses are the truth, the command line is their view.

`with_config("score", "models", "run")` gives a command one flag per setting of those sections,
and `--config`, `--show-config`, `--limit` and so on. The command receives a Config and a Call.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..schemas.errors import QamdtError
from .config import Config, from_toml, to_toml
from .stations import Call

STRICT_EXIT = 3

_CALL = {
    "config_file": Annotated[
        list[Path] | None,
        typer.Option("--config", help="TOML file of settings; may be given again, the last wins"),
    ],
    "show_config": Annotated[
        bool, typer.Option("--show-config", help="print the settings as TOML and stop")
    ],
    "limit": Annotated[
        int | None, typer.Option(min=0, help="at most so many files (ingest, run) or clips")
    ],
    "dry_run": Annotated[bool, typer.Option("--dry-run", help="say what would be done")],
    "retry_errors": Annotated[bool, typer.Option("--retry-errors", help="try error rows again")],
    "strict": Annotated[bool, typer.Option("--strict", help="exit 3 when there are error rows")],
    "quiet": Annotated[bool, typer.Option("--quiet", help="no progress bar")],
}


def with_config(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate `command(..., config, call, strict)` with the flags of `sections`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            p
            for p in inspect.signature(command, eval_str=True).parameters.values()
            if p.name not in ("config", "call", "strict")
        ]
        flags = {name: _flag(section, name) for section in sections for name in _fields(section)}

        @functools.wraps(command)
        def run(**given: Any) -> None:
            config = _configure(given, sections)
            if given["show_config"]:
                typer.echo(to_toml(config), nl=False)
                return
            call = Call(given["limit"], given["dry_run"], given["retry_errors"], given["quiet"])
            arguments = {p.name: given[p.name] for p in own}
            command(**arguments, config=config, call=call, strict=given["strict"])

        extra = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=_default(name)
            )
            for name, kind in {**flags, **_CALL}.items()
        ]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
        return run

    return decorate


def _default(name: str) -> Any:
    return False if name in ("show_config", "dry_run", "retry_errors", "strict", "quiet") else None


def _configure(given: dict[str, Any], sections: tuple[str, ...]) -> Config:
    config = Config()
    for path in given["config_file"] or []:
        config = from_toml(path, config)
    for section in sections:
        values = {k: given[k] for k in _fields(section) if given[k] is not None}
        config = config.override(section, values)
    return config


def _section(name: str) -> type:
    kind: type = typing.get_type_hints(Config)[name]
    return kind


def _fields(section: str) -> list[str]:
    return [f.name for f in dataclasses.fields(_section(section))]


def _flag(section: str, name: str) -> Any:
    """The annotation of one setting's flag; its help ends with the default."""
    cls = _section(section)
    field = next(f for f in dataclasses.fields(cls) if f.name == name)
    hint = typing.get_type_hints(cls)[name]
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(k for k in kinds if k is not type(None))
    if typing.get_origin(kind) is tuple:
        kind = list[str]
    choices = field.metadata["choices"]
    doc = field.metadata["doc"] + (f" ({', '.join(choices)})" if choices else "")
    default = field.default
    if isinstance(default, tuple):
        default = " ".join(default)
    shown = "off" if default is None else default
    flag = f"--{name.replace('_', '-')}"
    names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    return Annotated[kind | None, typer.Option(*names, help=f"{doc} [dim]\\[{shown}][/dim]")]


def speak(app: typer.Typer) -> None:
    """Run the app; an error of ours is one line on standard error and exit code 1."""
    try:
        app()
    except QamdtError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("stopped; the same command goes on where this one ended", err=True)
        sys.exit(130)
