"""All three command lines: their options are frozen, help is light and whole, -h and --version work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from cli_options import options_text
from typer.testing import CliRunner

from qamdt.schemas.commands import CommandLine, every_command
from qamdt.schemas.version import __version__

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
WINGS = ("curate", "train", "evaluate")
HEAVY = (
    "torch ray pyarrow duckdb pandas numpy scipy matplotlib jinja2 transformers diffusers librosa"
    " soundfile av openai"
).split()


def app_of(wing: str) -> CommandLine:
    app: CommandLine = import_module(f"qamdt.{wing}.cli").app
    return app


def call(wing: str, *words: str) -> str:
    done = CliRunner().invoke(app_of(wing), list(words), env={"COLUMNS": "200"})
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.output


@pytest.mark.parametrize("wing", WINGS)
def test_options_are_those_of_the_golden_file(wing: str) -> None:
    """After a change that is meant: QAMDT_UPDATE_GOLDEN=1 pytest tests/cli/test_command_lines.py"""
    text, file = options_text(f"qamdt-{wing}", app_of(wing)), GOLDEN / f"options-{wing}.txt"
    if os.environ.get("QAMDT_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("wing", WINGS)
def test_help_says_all_that_a_command_has(wing: str) -> None:
    """Nothing is swallowed by markup: every word of docstring, flag and help is on the screen."""
    assert call(wing, "-h") == call(wing, "--help")
    for name, command in every_command(app_of(wing)):
        shown = _squeezed(call(wing, *name.split(), "-h"))
        texts = [command.help, *(getattr(p, "help", "") for p in _shown(command))]
        flags = [flag for p in _shown(command) for flag in p.opts if flag.startswith("-")]
        for text in [*texts, *flags]:
            assert _squeezed((text or "").replace("\\[", "[")) in shown, (name, text)
        assert "\\[" not in shown


def _shown(command: object) -> list:
    return [p for p in command.params if not getattr(p, "hidden", False)]  # type: ignore[attr-defined]


def _squeezed(text: str) -> str:
    """The text without spaces, frames and line ends, so that breaking lines does not matter."""
    return re.sub(r"[\s│]", "", text)


def test_brackets_of_a_docstring_are_shown() -> None:
    assert "[sample]" in call("train", "fit", "-h")


@pytest.mark.parametrize("wing", WINGS)
def test_every_command_has_version_help_and_debug(wing: str) -> None:
    assert call(wing, "--version") == f"qamdt {__version__}\n"
    for name, command in every_command(app_of(wing)):
        assert call(wing, *name.split(), "--version") == f"qamdt {__version__}\n"
        if not hasattr(command, "commands"):
            assert {"--debug", "--version"} <= {flag for p in command.params for flag in p.opts}


@pytest.mark.parametrize("wing", WINGS)
def test_help_imports_nothing_heavy(wing: str) -> None:
    """One process: what each command's help has imported of HEAVY so far, named with the command."""
    script = f"""
import sys
from typer.testing import CliRunner
from qamdt.{wing}.cli import app
from qamdt.schemas.commands import every_command
def check(words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    found = sorted({HEAVY!r} & sys.modules.keys())
    assert not found, f"{{words}} imports {{found}}"
check([])
for name, _ in every_command(app):
    check(name.split())
""".replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.parametrize("wing", WINGS)
def test_help_of_the_whole_builds_no_command(wing: str) -> None:
    script = f"""
from typer.testing import CliRunner
from qamdt.{wing}.cli import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
built = [name for name, lazy in app.lazy.items() if "real" in vars(lazy)]
assert not built, built
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.parametrize("wing", WINGS)
def test_help_documents_exit_codes_and_wrong_usage_is_2(wing: str) -> None:
    assert "Exit codes: 0 done, 1 an error" in call(wing, "-h")
    assert CliRunner().invoke(app_of(wing), ["no-such-command"]).exit_code == 2
    first = next(iter(app_of(wing).lazy))
    assert CliRunner().invoke(app_of(wing), [first, "--no-such-flag"]).exit_code == 2
