"""Brings the figures that documents quote up to what figures/*.json holds: `make quote`.

    python -m qamdt.benchmarks.quote README.md models/weights/pmos-mini.md

A quoted figure is a table row that begins with a figure's name in backticks: its columns `value` (or
`value [95%]`) and `n` are written anew, with as many digits as stood there; so is `stand-in`, by the
figure of that name with `_standin` behind it. Other cells and rows of unknown names stay.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path("figures")


def read_figures(folder: Path) -> dict[str, dict[str, Any]]:
    """All figures of the JSON files in `folder` by name."""
    figures: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        figures |= json.loads(path.read_text())["figures"]
    return figures


def requote(text: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    """`text` with the values in its tables as `figures` has them."""
    lines: list[str] = []
    header: list[str] = []
    for line in text.splitlines(keepends=True):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        name = re.fullmatch(r"`(\w+)`", cells[0])
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif name and name[1] in figures:
            figure, standin = figures[name[1]], figures.get(f"{name[1]}_standin")
            for place, head in enumerate(header[: len(cells)]):
                if head.startswith("value"):
                    cells[place] = _written(cells[place], figure)
                elif head == "stand-in" and standin:
                    cells[place] = _written(cells[place], standin)
                elif head == "n":
                    cells[place] = str(figure["n"])
            line = f"| {' | '.join(cells)} |\n"
        lines.append(line)
    return "".join(lines)


def _written(old: str, figure: Mapping[str, Any]) -> str:
    """The value, and its interval where it has one, with the digits of `old`."""
    digits = len((re.match(r"-?[\d,]+(?:\.(\d+))?", old) or [""])[1] or "")
    value = f"{figure['value']:.{digits}f}"
    if figure["low"] is None:
        return value
    return f"{value} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def main() -> None:
    """Rewrite the documents named on the command line."""
    figures = read_figures(FOLDER)
    for path in map(Path, sys.argv[1:]):
        path.write_text(requote(path.read_text(), figures))


if __name__ == "__main__":
    main()
