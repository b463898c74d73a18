"""Figures: what a document says stands in figures/*.json, with the command that prints it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qamdt.benchmarks.quote import read_figures, requote

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *(f"models/weights/{name}-mini.md" for name in ("pmos", "clap", "tags")),
             "models/weights/pmos-mini-16k.md"]  # fmt: skip
QUOTED = re.compile(r"^\| `(\w+)` \|", re.M)
FIGURES = read_figures(ROOT / "figures")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_figure_quoted_is_as_it_was_measured(document: str) -> None:
    """Value, interval and n; `make quote` writes them."""
    text = (ROOT / document).read_text()
    quoted = QUOTED.findall(text)
    assert len(quoted) >= 8
    missing = set(quoted) - set(FIGURES)
    assert not missing, f"{document} quotes what no figures/*.json holds: {missing}"
    assert requote(text, FIGURES) == text


def test_quoting_changes_value_interval_and_n_alone() -> None:
    """With the digits that stood there; other rows, cells and tables stay."""
    figures = {
        "a": {"value": 0.12345, "low": 0.1, "high": 0.2, "n": 7},
        "a_standin": {"value": 0.5, "low": None, "high": None, "n": 7},
    }
    head = "| figure | what | value [95%] | stand-in | n |\n|---|---|---|---|---|\n"
    text = head + "| `a` | x | 9.99 | 0.8 | 3 |\n"
    row = "| `a` | x | 0.12 [0.10, 0.20] | 0.5 | 7 |"
    rest = "| `b` | x | 1 | 2 | 3 |\nand `a` in a sentence\n"
    assert requote(text + rest, figures).splitlines()[2] == row
    assert requote(text + rest, figures).endswith(rest)


def test_every_figure_has_unit_n_and_command() -> None:
    for path in (ROOT / "figures").glob("*.json"):
        assert json.loads(path.read_text())["machine"]["date"], path
    for name, figure in FIGURES.items():
        assert set(figure) == {"value", "low", "high", "n", "unit", "command"}, name
        assert figure["command"] and figure["unit"], name
        if figure["low"] is not None:
            assert figure["low"] <= figure["value"] <= figure["high"], name
