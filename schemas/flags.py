"""Flags made from settings: the dataclasses are the truth, the command line is their view.

    with_config = Flags(Config, from_toml, panels={"quantize": "Levels"})

    @with_config("score", "models", "run", call=("limit", "dry_run"))
    def score(folder: Folder, config: Config, call: Call, strict: bool) -> None: ...

gives a command one flag for each setting of those sections, in panels, and the flags of the call:
`config` brings --config and --show-config, `call` --quiet and those that are named, `strict` --strict.
The decorator only marks the function, so that it can be called with a Config as it is written;
`apply_flags` makes what typer reads, when the command is asked for (see commands.py).
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from .call import Call
from .run_log import log_config, note
from .settings import kinds_of, to_toml

CALL_PANEL = "This call"
STRICT_EXIT = 3
Command = Callable[..., None]


def _switch(flag: str, doc: str) -> Any:
    return Annotated[bool, typer.Option(flag, help=doc, rich_help_panel=CALL_PANEL)]


CONFIG = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="profile (embedded, paper) or TOML file of settings; given again, the last wins",
        rich_help_panel=CALL_PANEL,
    ),
]
PLUGIN = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file of your own kinds of models, listeners, rules; may be given again",
        rich_help_panel=CALL_PANEL,
    ),
]
LIMIT = Annotated[
    int | None,
    typer.Option(
        "--limit", min=0, help="at most so many clips (ingest, run: files)",
        rich_help_panel=CALL_PANEL,
    ),
]  # fmt: skip
OF_CALL = {
    "limit": LIMIT,
    "dry_run": _switch("--dry-run", "say what would be done, do nothing"),
    "retry_errors": _switch("--retry-errors", "try error rows again"),
    "quiet": _switch("--quiet", "no progress bar"),
}
STRICT = _switch("--strict", f"exit {STRICT_EXIT} when there are error rows")
SHOW_CONFIG = _switch("--show-config", "check the settings, print them as TOML and stop")


@dataclass(frozen=True)
class Flags:
    """The flags of one command line.

    config: the frozen dataclass of its sections; it has a method `override(section, values)`.
    from_toml: (file, configuration) -> the configuration of the file over the other one.
    panels: title of a section's panel, where it is not the section's name.
    extra: section -> name -> sentence of a setting that `override` takes and the section has not.
    check: raises ConfigError where a configuration names what is not there, such as a model; it is
    given the sections that the command uses, for --show-config: the work itself checks what it uses.
    """

    config: Callable[[], Any]
    from_toml: Callable[[Path, Any], Any]
    panels: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    check: Callable[[Any, Sequence[str]], None] = lambda config, sections: None

    def __call__(self, *sections: str, call: Sequence[str] = ()) -> Callable[[Command], Command]:
        """Decorate a command with the flags of `sections` and of the call (names of OF_CALL)."""

        def decorate(command: Command) -> Command:
            _MARKED[command] = lambda: self._applied(command, sections, call)
            return command

        return decorate

    def _applied(self, command: Command, sections: Sequence[str], call: Sequence[str]) -> Command:
        parameters = inspect.signature(command, eval_str=True).parameters
        own = {n: p for n, p in parameters.items() if n not in ("config", "call", "strict")}
        settings = [s for section in sections for s in self._settings(section)]
        call_names = [*call, "quiet"] if "call" in parameters else []
        flags: dict[str, Any] = {}
        for s in settings:
            flags |= s.flags()
        if "config" in parameters:
            flags |= {"config_": (CONFIG, None), "show_config": (SHOW_CONFIG, False)}
        flags["plugin"] = (PLUGIN, None)
        flags |= {n: (OF_CALL[n], None if n == "limit" else False) for n in call_names}
        if "strict" in parameters:
            flags["strict"] = (STRICT, False)
        if both := own.keys() & flags.keys():
            raise TypeError(f"{command.__name__}: {', '.join(both)} are settings and parameters")

        def run(ctx: typer.Context, **given: Any) -> None:
            load_plugins(given["plugin"])
            values = {name: given[name] for name in own}
            if "config" in parameters:
                config = self._configured(ctx, given, sections, settings)
                if given["show_config"]:
                    typer.echo(to_toml(config), nl=False)
                    self.check(config, sections)
                    return
                log_config(to_toml(config))
                values["config"] = config
            if "call" in parameters:
                values["call"] = Call(**{n: given[n] for n in call_names}, log=typer.echo)
            if "strict" in parameters:
                values["strict"] = given["strict"]
            command(**values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        set_signature(run, [context, *own.values(), *(_parameter(n, *f) for n, f in flags.items())])
        return run

    def _settings(self, section: str) -> Iterable[_Setting]:
        defaults = getattr(self.config(), section)
        hints = typing.get_type_hints(type(defaults))
        panel = self.panels.get(section, section.capitalize())
        for name, doc in self.extra.get(section, {}).items():
            yield _Setting(section, name, str, None, doc, panel)
        for f in dataclasses.fields(defaults):
            choices, doc = f.metadata.get("choices", ()), f.metadata.get("doc", "")
            yield _Setting(
                section, f.name, hints[f.name], getattr(defaults, f.name), doc, panel, choices,
                f.metadata.get("was", ""), f.metadata.get("commas", True),
            )  # fmt: skip

    def _configured(
        self,
        ctx: typer.Context,
        given: Mapping[str, Any],
        sections: Sequence[str],
        settings: Sequence[_Setting],
    ) -> Any:
        """The configuration: dataclass < file < flag. Raises ConfigError."""
        config = self.config()
        for name in given["config_"] or []:
            config = self.from_toml(Path(name), config)
        values: dict[str, dict[str, Any]] = {section: {} for section in sections}
        for s in settings:
            if s.was and is_given(ctx, s.old_name):
                note(f"{s.flag(s.was)} is now called {s.flag(s.name)}")
                values[s.section][s.name] = given[s.old_name]
            if is_given(ctx, s.name):
                values[s.section][s.name] = given[s.name]
        for section, changes in values.items():
            config = config.override(section, changes)
        return config


_MARKED: dict[Command, Callable[[], Command]] = {}


def apply_flags(command: Command) -> Command:
    """The command as typer reads it; one that no Flags has marked is given back."""
    return _MARKED[command]() if command in _MARKED else command


def load_plugins(files: Sequence[Path] | None) -> None:
    """Import the files of `--plugin`, whose kinds are then known to every role."""
    if files:
        from . import plugins

        plugins.load(files)


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether a flag stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def commas(kind: type, cut: bool = True) -> Callable[[list[str] | None], list[Any] | None]:
    """The callback of a flag of several values: given again, or once with commas between.

    cut: False takes each value as it stands, commas and all.
    """

    def split(value: list[str] | None) -> list[Any] | None:
        if value is None:
            return None
        texts = [part for text in value for part in (text.split(",") if cut else [text])]
        parts = [text.strip() for text in texts if text.strip()]
        try:
            return [kind(part) for part in parts]
        except ValueError as error:
            raise typer.BadParameter(f"{','.join(value)}: expected {kind.__name__}s") from error

    return split


def set_signature(run: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> None:
    """Give `run(**given)` the signature that typer reads."""
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in keywords}


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


@dataclass(frozen=True)
class _Setting:
    """One setting as a flag."""

    section: str
    name: str
    hint: Any
    default: Any
    doc: str
    panel: str
    choices: tuple[str, ...] = ()
    was: str = ""
    commas: bool = True

    @property
    def old_name(self) -> str:
        return f"was_{self.name}"

    def flag(self, name: str) -> str:
        return f"--{name.replace('_', '-')}"

    def flags(self) -> dict[str, tuple[Any, Any]]:
        """(annotation, default) by parameter: the flag, and the hidden one of its old name."""
        kind = next(k for k in kinds_of(self.hint) if k is not type(None))
        choices, default, callback = self.choices, self.default, None
        if typing.get_origin(kind) is typing.Literal:
            kind, choices = str, tuple(map(str, typing.get_args(kind)))
        if typing.get_origin(kind) is tuple:
            callback, kind = commas(typing.get_args(kind)[0], self.commas), list[str]
            default = None if default is None else [_plain(item) for item in default]
        doc = self.doc
        if not all(choice in doc for choice in choices):
            doc += f" ({', '.join(choices)})"
        if callback:
            doc += "; commas between" if self.commas else "; may be given again"
        off = default is None and "default:" not in doc and "off:" not in doc

        def option(name: str, hidden: bool = False) -> Any:
            flag = self.flag(name)
            names = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
            return Annotated[
                kind | None if default is None or hidden else kind,
                typer.Option(
                    names, help=doc, hidden=hidden, callback=callback, rich_help_panel=self.panel,
                    show_default="off" if off else default is not None,
                ),
            ]  # fmt: skip

        both: dict[str, tuple[Any, Any]] = {self.name: (option(self.name), default)}
        if self.was:
            both[self.old_name] = (option(self.was, hidden=True), None)
        return both
