"""Measures the code itself: `make figures-house` -> figures/house.json.

    python -m qamdt.benchmarks.house --out figures/house.json [--only help,code] \
      [--isa isa-default.xml --isa isa-avx2.xml] [--junit suite.xml]

help_ratio_curate, _train, _evaluate   CPU time of `--help` over that of a bare typer application
readme_chars                           characters of README.md
circles, upward_imports                import circles; imports that run upwards between rooms
median_file_lines, longest_file        lines of a Python file, tests included, __init__.py left out
largest_room                           Python files in one folder
plugin_lines                           lines of the example of a plug-in
old_words                              identifiers of the private dialect in product code
isa_failures                           failures of the suite under several instruction sets (--isa)
test_minutes, old_folders_read         of a run of the suite (--junit)

Without their files the figures of the last two lines are left as they are.
"""

from __future__ import annotations

import statistics
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..figures import Figures, Only, Out, Parts, figure, measure_parts
from .commands import help_ratios
from .imports import circles, edges, python_files, upward
from .suite import isa_figures, suite_figures
from .words import old_words

COMMAND = "make figures-house"
ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path("examples/zero_crossings.py")


def measure_help(work: Path) -> Figures:
    """The three commands."""
    return help_ratios(work, COMMAND)


def measure_code(work: Path) -> Figures:
    """Everything that is read off the files."""
    del work
    return code_figures(ROOT)


def code_figures(root: Path) -> Figures:
    """The figures of the files below `root`; prints the places of what should not be."""
    graph, files = edges(root), python_files(root)
    round_ways, upwards, words = circles(graph), upward(graph), old_words(root)
    for circle in round_ways:
        print("circle:", *circle)
    for source, target, line in upwards:
        print(f"upward: {source}:{line} imports {target}")
    for path, line, word in words:
        print(f"old word: {path}:{line} {word}")
    lines = {path: line_count(root / path) for path in files if path.name != "__init__.py"}
    longest = max(lines, key=lambda path: lines[path])
    ((room, most),) = Counter(path.parent for path in files).most_common(1)
    readme = (root / "README.md").read_text(encoding="utf-8")
    out = {
        "circles": figure(len(round_ways), len(graph), "circles among so many imports", COMMAND),
        "upward_imports": figure(len(upwards), len(graph), "imports", COMMAND),
        "median_file_lines": figure(
            statistics.median(lines.values()), len(lines), "lines", COMMAND
        ),
        "longest_file": figure(lines[longest], len(lines), f"lines, {longest}", COMMAND),
        "largest_room": figure(most, len(files), f"Python files, {room}", COMMAND),
        "old_words": figure(len(words), len(files), "identifiers", COMMAND),
        "readme_chars": figure(len(readme), 1, "characters", COMMAND),
    }
    if (root / PLUGIN).exists():
        out["plugin_lines"] = figure(line_count(root / PLUGIN), 1, f"lines, {PLUGIN}", COMMAND)
    return out


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def main(
    out: Out = Path("figures/house.json"),
    only: Only = "",
    isa: Annotated[
        list[Path] | None,
        typer.Option(help="JUnit file of the suite under one instruction set; repeatable"),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="JUnit file of `make test`")] = None,
) -> None:
    """Measure the parts named and put them into the file; other figures stay."""
    parts: Parts = {"help": measure_help, "code": measure_code}
    if isa:
        parts = {**parts, "isa": partial(_isa, isa)}
    if junit:
        parts = {**parts, "suite": partial(_suite, junit)}
    measure_parts(parts, only, out)


def _isa(files: list[Path], work: Path) -> Figures:
    return isa_figures(files, "make test-isa")


def _suite(file: Path, work: Path) -> Figures:
    return suite_figures(file, "make test")


if __name__ == "__main__":
    typer.run(main)
