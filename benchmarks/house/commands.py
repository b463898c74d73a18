"""CPU time of `--help` of our commands against that of a bare typer application.

Each round starts every command once, so that a busy machine slows all alike; a ratio is of one round.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from ...recipes.common.figures import Figure, range_figure

COMMANDS = ("curate", "train", "evaluate")
ROUNDS = 11
BARE = '''
import typer

app = typer.Typer()


@app.command()
def one(name: str) -> None:
    """The first command."""


@app.command()
def two(name: str, times: int = 1) -> None:
    """The second command."""


app()
'''


def help_ratios(work: Path, command: str, rounds: int = ROUNDS) -> dict[str, Figure]:
    """CPU seconds of `qamdt-NAME --help` over those of the bare application, for each command."""
    bare = work / "bare.py"
    bare.write_text(BARE)
    programs = {"": [sys.executable, str(bare)]} | {
        name: [sys.executable, "-c", f"from qamdt.{name}.cli import main; main()"]
        for name in COMMANDS
    }
    for program in programs.values():  # compiled files, pages of the disk
        cpu_s([*program, "--help"])
    ratios: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        seconds = {name: cpu_s([*program, "--help"]) for name, program in programs.items()}
        for name in COMMANDS:
            ratios[name].append(seconds[name] / seconds[""])
    unit = "CPU time of --help / of a bare typer application with two commands; least, largest"
    return {
        f"help_ratio_{name}": range_figure(values, unit, command) for name, values in ratios.items()
    }


def cpu_s(command: list[str]) -> float:
    """User and system seconds of a command and its children. Raises CalledProcessError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"COLUMNS": "100"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
