"""The flags of `qamdt-train`: those of the configuration's sections, and those of the call."""

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
from .network.config import SIZES

SIZE = Annotated[
    str | None,
    typer.Option(help=f"widths and depths by name ({', '.join(SIZES)}) [dim]\\[s][/dim]"),
]
_CALL = {
    "config_file": flags.CONFIG_FILE,
    "show_config": flags.SHOW_CONFIG,
}


def with_config(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate `command(..., config)` with the flags of `sections`; `--size` goes with `model`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "config"]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            config = _configure(given, sections)
            if given["show_config"]:
                typer.echo(to_toml(config), nl=False)
                return
            command(**{p.name: given[p.name] for p in own}, config=config)

        settings: dict[str, Any] = {"size": SIZE} if "model" in sections else {}
        for section in sections:
            settings |= flags.flags_of(_section(section))
        flags.add_flags(run, own, {**settings, **_CALL})
        return run

    return decorate


def _configure(given: dict[str, Any], sections: tuple[str, ...]) -> Config:
    config = Config()
    for path in given["config_file"] or []:
        config = from_toml(path, config)
    if given.get("size"):
        config = config.override("model", {"size": given["size"]})
    for section in sections:
        names = flags.names_of(_section(section))
        config = config.override(section, {k: given[k] for k in names if given[k] is not None})
    return config


def _section(name: str) -> type:
    kind: type = typing.get_type_hints(Config)[name]
    return kind
