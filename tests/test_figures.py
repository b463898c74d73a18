"""Figures: what a document says stands in figures/*.json, with the command that prints it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUOTED = re.compile(r"^\| `(\w+)` \|[^|]*\| ([-\d.]+)", re.M)


def _figures() -> dict[str, dict]:
    found: dict[str, dict] = {}
    for path in sorted((ROOT / "figures").glob("*.json")):
        content = json.loads(path.read_text())
        assert content["machine"]["date"], path
        found |= content["figures"]
    return found


@pytest.mark.parametrize("document", ["README.md", "models/weights/pmos-mini.md"])
def test_every_figure_quoted_is_one_that_was_measured(document: str) -> None:
    figures = _figures()
    quoted = QUOTED.findall((ROOT / document).read_text())
    for name, value in quoted:
        assert name in figures, f"{document} quotes {name}, which no figures/*.json holds"
        digits = len(value.partition(".")[2])
        measured = figures[name]["value"]
        assert f"{measured:.{digits}f}" == value.replace(",", ""), f"{name}: {measured}"
    if document == "README.md":
        assert len(quoted) >= 8


def test_every_figure_has_unit_n_and_command() -> None:
    for name, figure in _figures().items():
        assert set(figure) == {"value", "low", "high", "n", "unit", "command"}, name
        assert figure["command"] and figure["unit"], name
        if figure["low"] is not None:
            assert figure["low"] <= figure["value"] <= figure["high"], name
