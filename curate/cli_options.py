"""The flags of `qamdt-curate`: those of the configuration, and those of the call.

`with_config("score", "models", "run")` gives a command one flag per setting of those sections,
and `--config`, `--show-config`, `--limit` and so on. The command receives a Config and a Call.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..pipeline.stage import Call
from ..schemas import flags, plugins
from .config import Config, from_toml, to_toml

STRICT_EXIT = 3

_CALL = {
    "config_file": flags.CONFIG_FILE,
    "show_config": flags.SHOW_CONFIG,
    "limit": Annotated[
        int | None, typer.Option(min=0, help="at most so many files (ingest, run) or clips")
    ],
    "dry_run": Annotated[bool, typer.Option("--dry-run", help="say what would be done")],
    "retry_errors": Annotated[bool, typer.Option("--retry-errors", help="try error rows again")],
    "strict": Annotated[bool, typer.Option("--strict", help="exit 3 when there are error rows")],
    "plugin": flags.PLUGIN,
    "quiet": flags.QUIET,
}


def with_config(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate `command(..., config, call, strict)` with the flags of `sections`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            p
            for p in inspect.signature(command, eval_str=True).parameters.values()
            if p.name not in ("config", "call", "strict")
        ]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            plugins.load(given["plugin"] or [])
            config = _configure(given, sections)
            if given["show_config"]:
                typer.echo(to_toml(config), nl=False)
                return
            call = Call(given["limit"], given["dry_run"], given["retry_errors"], given["quiet"])
            arguments = {p.name: given[p.name] for p in own}
            command(**arguments, config=config, call=call, strict=given["strict"])

        settings: dict[str, Any] = {}
        for section in sections:
            settings |= flags.flags_of(_section(section))
        flags.add_flags(run, own, {**settings, **_CALL})
        return run

    return decorate


def _configure(given: dict[str, Any], sections: tuple[str, ...]) -> Config:
    config = Config()
    for path in given["config_file"] or []:
        config = from_toml(path, config)
    for section in sections:
        names = flags.names_of(_section(section))
        config = config.override(section, {k: given[k] for k in names if given[k] is not None})
    return config


def _section(name: str) -> type:
    kind: type = typing.get_type_hints(Config)[name]
    return kind


def speak(app: typer.Typer) -> None:
    """Run the app; an error of ours is one line on standard error and exit code 1."""
    flags.speak(app, "stopped; the same command goes on where this one ended")
