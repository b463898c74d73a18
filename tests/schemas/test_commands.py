"""A command line made of settings: flags, old names, lists, logs, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

PROGRAM = '''
"""A command line of its own, as the three of ours are made."""
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
import typer
from qamdt.schemas import settings
from qamdt.schemas.call import Call
from qamdt.schemas.commands import CommandLine, closing
from qamdt.schemas.errors import ConfigError
from qamdt.schemas.flags import Flags, commas
from qamdt.schemas.run_log import log_started
from qamdt.schemas.settings import setting

@dataclass(frozen=True)
class Part:
    size: int = setting(3, "how large; [bold] is no markup")
    rate: float | None = setting(None, "how fast", was="speed")
    names: tuple[str, ...] = setting(("a", "b"), "which")
    levels: tuple[float, ...] = setting((1.0, 2.5), "how good")
    where: tuple[str, ...] = setting((), "conditions", commas=False)
    deep: bool = setting(True, "whether deep", was="low")

@dataclass(frozen=True)
class Config:
    part: Part = field(default_factory=Part)
    def override(self, section, values):
        return settings.override(self, section, values)

def check(config, sections):
    if "gone" in config.part.names:
        raise ConfigError("names: 'gone' is not there; give another")

app = CommandLine("What it does.", stopped="stopped here")
flags = Flags(Config, settings.from_toml, check=check)

@app.register(log="folder")
@flags("part", call=("limit", "dry_run"))
def work(folder: Path, config: Config, call: Call, strict: bool,
         more: Annotated[list[str] | None, typer.Option(callback=commas(float))] = None) -> None:
    """Work.

    More of it.
    """
    log_started()
    call.log(f"{config.part} {call.limit} {call.dry_run} {call.quiet} {strict} {more}")
    print("printed")
    print("a note", file=sys.stderr)
    if config.part.size == 0:
        1 / 0
    if config.part.size == 1:
        raise ConfigError("size = 1: expected more")
    if config.part.size == 2:
        raise KeyboardInterrupt
    closing([(folder, "the folder"), (folder / "none", "not there")], [["work", "it's", folder]])

@app.register()
def crash() -> None:
    """Fail."""
    raise RuntimeError("a bug")

if __name__ == "__main__":
    app.run()
'''


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "small_program.py"
    path.write_text(PROGRAM)
    return path


def run(program: Path, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, str(program), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | env, cwd=program.parent
    )


def part(program: Path, *words: object) -> dict:
    done = run(program, "work", "folder", "--show-config", *words)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)["part"]


def test_commas_and_repeated_flags_are_one_list(program: Path) -> None:
    assert part(program)["names"] == ["a", "b"]
    assert part(program, "--names", "x,y", "--names", "z")["names"] == ["x", "y", "z"]
    assert part(program, "--levels", "1,3.5")["levels"] == [1.0, 3.5]
    where = ["a IN (1, 2)", "b"]
    assert part(program, "--where", where[0], "--where", where[1])["where"] == where
    wrong = run(program, "work", "folder", "--levels", "1,x")
    assert wrong.returncode == 2 and "expected floats" in wrong.stderr


def test_old_flags_and_old_keys_work_with_one_line_on_standard_error(
    program: Path, tmp_path: Path
) -> None:
    done = run(program, "work", "folder", "--show-config", "--speed", "2", "--no-low")
    assert tomllib.loads(done.stdout)["part"]["rate"] == 2.0
    assert tomllib.loads(done.stdout)["part"]["deep"] is False
    assert [line for line in done.stderr.splitlines() if "--speed" in line and "--rate" in line]
    assert len(done.stderr.splitlines()) == 2
    (tmp_path / "old.toml").write_text("[part]\nspeed = 3.0\n")
    done = run(program, "work", "folder", "--show-config", "--config", tmp_path / "old.toml")
    assert tomllib.loads(done.stdout)["part"]["rate"] == 3.0
    assert "speed" in done.stderr and "rate" in done.stderr
    assert "--speed" not in run(program, "work", "--help").stdout


def test_a_flag_wins_over_the_last_file_and_that_over_the_first(
    program: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text("[part]\nsize = 10\nrate = 1.0\n")
    (tmp_path / "b.toml").write_text("[part]\nsize = 11\n")
    files = ("--config", tmp_path / "a.toml", "--config", tmp_path / "b.toml")
    assert (part(program, *files)["size"], part(program, *files)["rate"]) == (11, 1.0)
    assert part(program, *files, "--size", "3")["size"] == 3  # the default, given, is a flag


def test_show_config_refuses_what_a_run_would_refuse(program: Path) -> None:
    done = run(program, "work", "folder", "--show-config", "--names", "gone")
    assert done.returncode == 1 and "size = 3" in done.stdout
    assert done.stderr == "ConfigError: names: 'gone' is not there; give another\n"


def test_help_shows_brackets_defaults_and_panels(program: Path) -> None:
    shown = run(program, "work", "-h", COLUMNS="120").stdout
    assert "[bold] is no markup" in shown and "[default: 3]" in shown
    assert "─ Part ─" in shown and "─ This call ─" in shown and "[default: deep]" in shown


def test_a_log_holds_command_settings_and_every_line(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    run(program, "work", folder, "--names", "x y")
    assert not folder.exists()
    folder.mkdir()
    done = run(program, "work", folder, "--names", "x y", "--limit", "4", "--more", "1,2")
    assert done.returncode == 0 and "Part(size=3" in done.stdout and "[1.0, 2.0]" in done.stdout
    assert f"open  {folder}  the folder\n" in done.stdout and "not there" not in done.stdout
    assert done.stdout.endswith(f"next  work 'it'\"'\"'s' {folder}\n")
    (log,) = (folder / "logs").glob("qamdt-work-*.log")
    text = log.read_text()
    assert f"work {folder} --names 'x y' --limit 4" in text and 'names = [\n    "x y",' in text
    for line in (*done.stdout.splitlines(), "a note"):
        assert line in text
    assert text.endswith("INFO done\n")
    run(program, "work", folder, "--dry-run")
    run(program, "work", folder, "--show-config")
    run(program, "work", folder, RANK="1")
    assert list((folder / "logs").iterdir()) == [log]


def test_an_unexpected_error_is_a_sentence_and_a_traceback_in_the_log(
    program: Path, tmp_path: Path
) -> None:
    done = run(program, "work", tmp_path, "--size", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert done.stderr.splitlines()[-1] == (
        f"unexpected ZeroDivisionError: division by zero; its traceback is in {log}"
    )
    assert "Traceback" in log.read_text() and "1 / 0" in log.read_text()
    for words, env in ((["--debug"], {}), ([], {"QAMDT_DEBUG": "1"})):
        done = run(program, "crash", *words, TMPDIR=str(tmp_path), **env)
        assert done.returncode == 1 and "RuntimeError: a bug" in done.stderr
        assert "Traceback" in done.stderr
    done = run(program, "crash", TMPDIR=str(tmp_path))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert Path(done.stderr.split()[-1]).parent == tmp_path and "a bug" in done.stderr


def test_expected_errors_are_one_line_and_ctrl_c_is_130(program: Path, tmp_path: Path) -> None:
    done = run(program, "work", tmp_path, "--size", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["a note", "ConfigError: size = 1: expected more"]
    done = run(program, "work", tmp_path, "--size", "2")
    assert done.returncode == 130 and done.stderr.splitlines() == ["a note", "stopped here"]
    text = "".join(log.read_text() for log in (tmp_path / "logs").iterdir())
    assert "ConfigError: size = 1" in text and "KeyboardInterrupt" in text


def test_a_marked_function_is_called_as_it_is_written(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(program.parent))
    import small_program

    from qamdt.schemas.call import Call

    config = small_program.Config().override("part", {"size": 9})
    small_program.work(tmp_path, config, Call(quiet=True), strict=True)
    assert "size=9" in capsys.readouterr().out
    done = CliRunner().invoke(small_program.app, ["work", str(tmp_path), "--size", "1"])
    assert done.exit_code == 1 and "expected more" in str(done.exception)
