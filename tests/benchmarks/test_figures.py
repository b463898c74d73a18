"""Figures: what a document says stands in figures/*.json, with the command that prints it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qamdt.benchmarks.quote import read_figures, requote

ROOT = Path(__file__).parents[2]
CARDS = sorted(f"models/weights/{p.name}" for p in (ROOT / "models" / "weights").glob("*.md"))
PAGES = sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))
MEASURED = [f"models/weights/{name}.md" for name in ("pmos-mini", "pmos-mini-16k", "clap-mini")]
WITH_TABLES = ["README.md", "docs/figures.md", *MEASURED, "models/weights/tags-mini.md"]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", *PAGES, *CARDS]
QUOTED = re.compile(r"^\| `(\w+)` \|.*\|", re.M)
FIGURES = read_figures(ROOT / "figures")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_figure_quoted_is_as_it_was_measured(document: str) -> None:
    """Value, interval and n, in tables and sentences; `make quote` writes them."""
    text = (ROOT / document).read_text()
    assert requote(text, FIGURES) == text


@pytest.mark.parametrize("document", WITH_TABLES)
def test_every_row_of_a_table_of_figures_is_measured(document: str) -> None:
    quoted = [row for table in _tables((ROOT / document).read_text()) for row in table]
    assert len(quoted) >= 8
    missing = set(quoted) - set(FIGURES)
    assert not missing, f"{document} quotes what no figures/*.json holds: {missing}"


def test_the_readme_quotes_nothing_that_the_page_of_figures_leaves_out() -> None:
    readme, page = (
        {row for table in _tables((ROOT / name).read_text()) for row in table}
        for name in ("README.md", "docs/figures.md")
    )
    assert readme <= page


def _tables(text: str) -> list[list[str]]:
    """The names in the first column of each table that has a column of values."""
    tables = re.findall(r"^\|.*\|\n\|[-|]+\|\n(?:\|.*\|\n)+", text, re.M)
    return [QUOTED.findall(table) for table in tables if "| value" in table.partition("\n")[0]]


def test_a_number_before_its_name_is_quoted() -> None:
    """With its digits, and with its interval where one stood; other names and numbers stay."""
    figures = {"a": {"value": 0.12345, "low": 0.1, "high": 0.2, "n": 7}}
    text = "few, 0.9 (`a`), or 0.99 [0.1, 0.3] (`a`); 3 (`b`), more than 2% (`a`) and v1.5 (`a`)\n"
    wanted = (
        "few, 0.1 (`a`), or 0.12 [0.10, 0.20] (`a`); 3 (`b`), more than 2% (`a`) and v1.5 (`a`)\n"
    )
    assert requote(text, figures) == wanted


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
