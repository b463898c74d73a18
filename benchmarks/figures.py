"""Figures: measured numbers in figures/*.json, each with its interval, n, unit and command."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..reports.statistics import share

Figures = Mapping[str, Mapping[str, Any]]


def plain_figure(value: float, n: int, unit: str, command: str) -> dict[str, Any]:
    """A figure without an interval."""
    return {
        "value": round(value, 4),
        "low": None,
        "high": None,
        "n": n,
        "unit": unit,
        "command": command,
    }


def share_figure(hits: np.ndarray, unit: str, command: str) -> dict[str, Any]:
    """The share of True in bool [n], with Wilson's 95% interval."""
    rate = share(int(np.sum(hits)), len(hits))
    return {
        "value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, "unit": unit,
        "command": command,
    }  # fmt: skip


def write_figures(path: Path, measured: Figures) -> None:
    """Put figures into a file, with machine facts and date; figures of other names stay."""
    content = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    for name, figure in measured.items():
        numbers = {
            k: round(figure[k], 4) for k in ("value", "low", "high") if figure[k] is not None
        }
        content["figures"][name] = {**figure, **numbers}
    content["machine"] = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def measure_parts(parts: Mapping[str, Callable[[Path], Figures]], only: str, out: Path) -> None:
    """Measure the parts named in `only` (by commas), each in a folder of its own that is deleted
    afterwards; print a line a figure and put them into `out`, where figures of other parts stay."""
    for part in only.split(","):
        work = Path(tempfile.mkdtemp(prefix=f"qamdt-{part}-"))
        try:
            measured = parts[part](work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        write_figures(out, measured)
        for name, figure in measured.items():
            print(f"{name:32} {figure['value']:.4g} {figure['unit']}", flush=True)
