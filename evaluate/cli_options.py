"""The flags of `qamdt-evaluate`: those of the configuration, and those of the call."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..schemas import flags
from ..schemas.settings import to_toml
from .config import Config, from_toml
from .run.inputs_and_features import Call

STRICT_EXIT = 3

_CALL = {
    "config_file": flags.CONFIG_FILE,
    "show_config": flags.SHOW_CONFIG,
    "limit": Annotated[int | None, typer.Option(min=1, help="at most so many generated clips")],
    "retry_errors": Annotated[
        bool, typer.Option("--retry-errors", help="try again what failed before")
    ],
    "quiet": flags.QUIET,
}


def with_config(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate `command(..., config, call)` with the flags of `sections` and of the call."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True).parameters
        own = [p for name, p in signature.items() if name not in ("config", "call")]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            config = _configure(given, sections)
            if given["show_config"]:
                typer.echo(to_toml(config), nl=False)
                return
            call = Call(given["limit"], given["retry_errors"], given["quiet"])
            command(**{p.name: given[p.name] for p in own}, config=config, call=call)

        settings: dict[str, Any] = {}
        for section in sections:
            settings |= flags.flags_of(_section(section))
        settings = {name: _commas(kind) for name, kind in settings.items()}
        flags.add_flags(run, own, {**settings, **_CALL})
        return run

    return decorate


def _commas(kind: Any) -> Any:
    """A flag of several values: given again, or once with commas between."""
    if typing.get_args(kind)[0] != list[str] | None:
        return kind

    def split(values: list[str] | None) -> list[str] | None:
        return [part for value in values for part in value.split(",") if part] if values else values

    option = typing.get_args(kind)[1]
    return Annotated[
        list[str] | None,
        typer.Option(*option.param_decls, help=option.help + "; commas between", callback=split),
    ]


def _configure(given: dict[str, Any], sections: tuple[str, ...]) -> Config:
    config = Config()
    for path in given["config_file"] or []:
        config = from_toml(path, config)
    for section in sections:
        names = flags.names_of(_section(section))
        config = config.override(
            section, {k: given[k] for k in names if given[k] is not None and given[k] != []}
        )
    return config


def _section(name: str) -> type:
    kind: type = typing.get_type_hints(Config)[name]
    return kind
