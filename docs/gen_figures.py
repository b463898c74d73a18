"""All figures of figures/*.json as Markdown tables, a file a section, for the page `figures.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "figures"


def markdown(folder: Path = FOLDER) -> str:
    """Every figure with its interval, n, unit and the command that measures it."""
    return "\n".join(line for path in sorted(folder.glob("*.json")) for line in _section(path))


def _section(path: Path) -> Iterator[str]:
    content = json.loads(path.read_text())
    machine = content["machine"]
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    yield f"\n### figures/{path.name}\n\n{facts}\n"
    yield "| name | value [95%] | n | unit | measured by |\n|---|---|---|---|---|"
    for name, figure in content["figures"].items():
        value, unit = _value(figure), str(figure["unit"]).replace("|", "&#124;")
        yield f"| `{name}` | {value} | {figure['n']} | {unit} | `{figure['command']}` |"


def _value(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return _number(figure["value"])
    low, high = _number(figure["low"]), _number(figure["high"])
    return f"{_number(figure['value'])} [{low}, {high}]"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


if __name__ == "__main__":
    print(markdown())
