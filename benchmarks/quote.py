"""Brings the figures that documents quote up to what figures/*.json holds: `make quote`.

    python -m qamdt.benchmarks.quote README.md models/weights/pmos-mini.md

A quoted figure is a table row that begins with a figure's name in backticks: its columns `value` (or
`value [95%]`) and `n` are written anew, with as many digits as stood there; so is `stand-in`, by the
figure of that name with `_standin` behind it. Elsewhere it is a number, or a number and an interval,
right before the name in parentheses: 0.95 [0.94, 0.96] (`pmos_pearson`). All else stays.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path("figures")
NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
IN_SENTENCE = re.compile(rf"(?<![\w.])({NUMBER})( \[{NUMBER}, {NUMBER}\])? \(`(\w+)`\)")


def read_figures(folder: Path) -> dict[str, dict[str, Any]]:
    """All figures of the JSON files in `folder` by name."""
    figures: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        figures |= json.loads(path.read_text())["figures"]
    return figures


def requote(text: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    """`text` with the values in its tables and sentences as `figures` has them."""
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
        lines.append(IN_SENTENCE.sub(lambda quote: _in_sentence(quote, figures), line))
    return "".join(lines)


def _in_sentence(quote: re.Match[str], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A number before its name; the interval is written where one stood."""
    number, interval, name = quote.groups()
    if name not in figures:
        return quote[0]
    figure = figures[name]
    return f"{_written(number, figure) if interval else _value(number, figure)} (`{name}`)"


def _written(old: str, figure: Mapping[str, Any]) -> str:
    """The value, and its interval where it has one, with the digits of `old`."""
    if figure["low"] is None:
        return _value(old, figure)
    digits = _digits(old)
    low, high = f"{figure['low']:.{digits}f}", f"{figure['high']:.{digits}f}"
    return f"{_value(old, figure)} [{low}, {high}]"


def _value(old: str, figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.{_digits(old)}f}"


def _digits(old: str) -> int:
    """The digits behind the point of the number that `old` begins with."""
    number = re.match(r"-?[\d,]+(?:\.(\d+))?", old)
    return len(number[1] or "") if number else 0


def main() -> None:
    """Rewrite the documents named on the command line."""
    figures = read_figures(FOLDER)
    for path in map(Path, sys.argv[1:]):
        path.write_text(requote(path.read_text(), figures))


if __name__ == "__main__":
    main()
