"""Files of figures: measured numbers in figures/*.json, with machine facts and date.

A figure is `{value, low, high, n, unit, command}` (`recipes/common/figures.py`). A benchmark of several
parts is `measure_parts` over a dict from a part's name to its function, with the options `Out` and
`Only`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..recipes.common.figures import Figure, Figures, figure, show_figures

__all__ = ["Figure", "Figures", "Only", "Out", "Parts", "figure", "measure_parts", "show_figures",
           "write_figures"]  # fmt: skip

Parts = Mapping[str, Callable[[Path], Figures]]  # name -> function of a work folder
Out = Annotated[Path, typer.Option("--out", help="JSON file of figures")]
Only = Annotated[str, typer.Option("--only", help="parts, separated by commas; all by default")]


def write_figures(path: Path, measured: Figures) -> None:
    """Put figures into a file, with machine facts and date; figures of other names stay."""
    content = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    for name, values in measured.items():
        numbers = {
            k: round(values[k], 4) for k in ("value", "low", "high") if values[k] is not None
        }
        content["figures"][name] = {**values, **numbers}
    content["machine"] = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def measure_parts(parts: Parts, only: str, out: Path | None) -> None:
    """Measure the parts named in `only` (by commas; "" is all), each in a folder of its own that is
    deleted afterwards; print a line a figure and put them into `out`, where other figures stay.

    out: None writes nothing. Raises typer.BadParameter for a part that there is not.
    """
    names = [name.strip() for name in only.split(",")] if only else list(parts)
    if unknown := [name for name in names if name not in parts]:
        raise typer.BadParameter(
            f"--only {','.join(unknown)}: expected parts of {', '.join(parts)}"
        )
    for name in names:
        work = Path(tempfile.mkdtemp(prefix=f"qamdt-{name}-"))
        try:
            measured = parts[name](work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if out:
            write_figures(out, measured)
        show_figures(measured)
