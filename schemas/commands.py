"""A command line whose commands are built when they are asked for, with one way to end.

    app = CommandLine("What it does.", stopped="stopped; the same command goes on")

    @app.register(log="folder")
    def score(folder: Folder) -> None: ...

    app.run()

`--help` of the whole needs each command's name and the first paragraph of its docstring; its flags
are made when the command is called (a tenth of a second less for every other call). Every command has
`-h`, `--version` and `--debug`; errors of ours are one line on standard error and exit code 1, others
one sentence and a log file with the traceback; Ctrl-C ends with 130.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .errors import QamdtError
from .flags import CALL_PANEL, Command, apply_flags, set_signature
from .run_log import command_log, note
from .version import __version__

EPILOG = (
    "Exit codes: 0 done, 1 an error (one line on standard error), 2 wrong usage, 3 error rows with "
    "--strict, 130 stopped by Ctrl-C."
)
NAMES = {"help_option_names": ["-h", "--help"]}
LogFolder = str | Callable[[Mapping[str, Any]], Path | None] | None


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"qamdt {__version__}")
        raise typer.Exit


def _show_tracebacks(value: bool) -> None:
    if value:
        os.environ["QAMDT_DEBUG"] = "1"


VERSION = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="print the version and stop",
        rich_help_panel=CALL_PANEL,
    ),
]  # fmt: skip
DEBUG = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_show_tracebacks, is_eager=True, rich_help_panel=CALL_PANEL,
        help="show the traceback of an error (as QAMDT_DEBUG=1)",
    ),
]  # fmt: skip
_COMMON = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False)
    for name, kind in (("debug", DEBUG), ("version", VERSION))
]


class _Command(TyperCommand):
    """A command whose --help stands with the flags of the call."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = CALL_PANEL
        return option


class LazyCommand(TyperCommand):
    """Name and first paragraph of a command; `real` is the command, built when first needed."""

    def __init__(self, name: str, doc: str, build: Callable[[], Any]) -> None:
        first = inspect.cleandoc(doc).split("\n\n")[0].replace("\n", " ")
        super().__init__(name, help=escaped(first), rich_markup_mode="rich")
        self._build = build

    @functools.cached_property
    def real(self) -> Any:
        return self._build()

    def make_context(self, *args: Any, **extra: Any) -> Any:
        return self.real.make_context(*args, **extra)

    def get_params(self, ctx: Any) -> Any:
        return self.real.get_params(ctx)


class CommandLine(typer.Typer):
    """A typer app whose commands are functions given to `register`."""

    def __init__(self, doc: str, stopped: str = "stopped", completion: bool = True) -> None:
        self.lazy: dict[str, LazyCommand] = {}
        self.stopped = stopped
        super().__init__(
            cls=type("Group", (_LazyGroup,), {"lazy": self.lazy}), no_args_is_help=True,
            rich_markup_mode="rich", pretty_exceptions_enable=False, context_settings=NAMES,
            help=escaped(doc), epilog=EPILOG, callback=_nothing,
            add_completion=completion,
        )  # fmt: skip

    def register(
        self, name: str | None = None, log: LogFolder = None
    ) -> Callable[[Command], Command]:
        """Decorate a function: it is the command `name` (default: the function's).

        log: the parameter with the folder in whose `logs/` the command's log is kept, or a function
        of all its arguments; None: only the traceback of an unexpected exception is kept.
        """

        def decorate(command: Command) -> Command:
            called = name or command.__name__.strip("_").replace("_", "-")
            doc = inspect.getdoc(command) or ""
            self.lazy[called] = LazyCommand(
                called,
                doc,
                lambda: _built(called, doc, _guarded(command, called, log, self.stopped)),
            )
            return command

        return decorate

    def register_app(self, name: str, app: CommandLine) -> None:
        """Put another app's commands under `name`."""
        doc = str(app.info.help)
        self.lazy[name] = LazyCommand(name, doc, lambda: _named(name, typer.main.get_command(app)))

    def run(self) -> None:
        """Run the command line of this process; an error of ours is one line and exit code 1."""
        try:
            self()
        except QamdtError as error:
            if _debugging():
                raise
            typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
            sys.exit(1)
        except Exception as error:
            if _debugging():
                raise
            log = getattr(error, "log_path", None)
            where = f"its traceback is in {log}" if log else "QAMDT_DEBUG=1 shows its traceback"
            text = f"unexpected {type(error).__name__}: {error}; {where}"
            typer.secho(" ".join(text.split()), fg="red", err=True)
            sys.exit(1)


def every_command(app: CommandLine, parents: str = "") -> Iterator[tuple[str, Any]]:
    """(name, click command, built) of every command, `models list` and its like included."""
    for name, lazy in app.lazy.items():
        yield f"{parents}{name}", lazy.real
        for sub, inner in getattr(lazy.real, "lazy", {}).items():
            yield f"{parents}{name} {sub}", inner.real


def escaped(text: str) -> str:
    """`text` with nothing in it that rich takes for markup: `[sample]` stays as it is."""
    return re.sub(r"(?<!\\)\[(?=[a-z#/@])", r"\\[", text)


def closing(opens: Sequence[tuple[Path, str]], commands: Sequence[Sequence[object]]) -> None:
    """Print what a command has made and can be opened, and commands to try next.

    opens: (path, what it is); what is not there is left out. commands: words, quoted here.
    """
    if not is_first_process():
        return
    there = [(path, what) for path, what in opens if path.exists()]
    width = max((len(str(path)) for path, _ in there), default=0)
    rows = {
        "open": [f"{path!s:{width}}  {what}" for path, what in there],
        "next": [shlex.join(map(str, words)) for words in commands],
    }
    for title, lines in rows.items():
        for number, line in enumerate(lines):
            typer.secho(f"{'' if number else title:6}", bold=True, nl=False)
            typer.echo(line)


def is_first_process() -> bool:
    """Whether this is the process that prints and keeps the log, of those that torch has started."""
    return os.environ.get("RANK", "0") == "0"


class _LazyGroup(TyperGroup):
    lazy: Mapping[str, LazyCommand] = {}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands.update(self.lazy)
        for option in self.params:  # with --help, in the panel of options
            option.rich_help_panel = None  # type: ignore[attr-defined]


def _nothing(debug: DEBUG = False, version: VERSION = False) -> None:
    """What the app itself does, beside its commands."""


def _debugging() -> bool:
    return os.environ.get("QAMDT_DEBUG", "0") not in ("", "0")


def _named(name: str, command: Any) -> Any:
    command.name = name
    return command


def _built(name: str, doc: str, command: Command) -> Any:
    """The click command of one function."""
    alone = typer.Typer(
        add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    alone.command(name, cls=_Command, help=escaped(doc), context_settings=NAMES)(command)
    built = typer.main.get_command(alone)
    for parameter in built.params:
        if text := getattr(parameter, "help", None):
            parameter.help = escaped(text)  # type: ignore[attr-defined]
    return built


def _guarded(command: Command, name: str, log: LogFolder, stopped: str) -> Command:
    """The command with the flags that all have, its log, and what is said at Ctrl-C."""
    inner = apply_flags(command)
    parameters = list(inspect.signature(inner, eval_str=True).parameters.values())

    def run(**given: Any) -> None:
        given = {p.name: given[p.name] for p in parameters}
        folder = log(given) if callable(log) else given[log] if log else None
        idle = given.get("dry_run") or given.get("show_config") or not is_first_process()
        try:
            with command_log(
                Path(folder) / "logs" if folder and not idle else None, name, sys.argv
            ):
                inner(**given)
        except KeyboardInterrupt as error:
            note(stopped)
            raise typer.Exit(130) from error

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    set_signature(run, [*parameters, *_COMMON])
    return run
