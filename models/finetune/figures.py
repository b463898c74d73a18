"""What a fine-tuned scorer is measured by: its predictions, by split, with intervals over groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..pmos.agreement import MEASURES, Estimate, calibration, intervals, rmse
from .labels import Labelled, Problem

COMMAND = "qamdt-curate models train-pmos"
TRIES = 500  # resamplings an interval is made of
COLUMNS = ("path", "start_s", "duration_s", "group", "split", "mos", "votes", "spread")


def table_of(sounds: Sequence[Labelled], splits: Sequence[str]) -> pd.DataFrame:
    """A row a sound, with the columns of `splits.csv`."""
    rows = [
        (s.path, s.start_s, s.duration_s, s.group, split, s.mos, s.votes, s.spread)
        for s, split in zip(sounds, splits, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def counted(sounds: Sequence[Labelled], problems: Sequence[Problem]) -> dict[str, Any]:
    """What the labels are: rows = ok + error, sounds, votes, and how far listeners agree.

    spread: mean standard deviation of the opinions on one sound. label_error: standard error of a
    label from it, a floor under every RMSE. Both None where no sound has two votes.
    """
    ok = sum(len(s.rows) for s in sounds)
    errors: dict[str, int] = {}
    for problem in problems:
        errors[problem.error_type] = errors.get(problem.error_type, 0) + 1
    mos = np.array([s.mos for s in sounds])
    several = [s for s in sounds if s.votes > 1]
    spread = float(np.mean([s.spread for s in several])) if several else math.nan
    error = math.sqrt(np.mean([s.spread**2 / s.votes for s in several])) if several else math.nan
    return {
        "rows": ok + len(problems), "ok": ok, "error": len(problems), "errors": errors,
        "sounds": len(sounds), "groups": len({s.group for s in sounds}),
        "mean": number(mos.mean() if len(mos) else math.nan),
        "deviation": number(mos.std() if len(mos) else math.nan),
        "spread": number(spread), "label_error": number(error),
    }  # fmt: skip


def figures_of(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """`<split>_<measure>` for every split that has sounds, and the error of a constant.

    `<split>_rmse_of_mean` is the RMSE of saying the mean label of train to everything: what a
    scorer has to be below.
    """
    found: dict[str, dict[str, Any]] = {}
    mean = table.loc[table["split"] == "train", "mos"].mean()
    for split in ("train", "dev", "test"):
        part = table.loc[table["split"] == split, ["mos", "score", "group"]]
        if part.empty:
            continue
        for name, estimate in intervals(part, MEASURES, "group", TRIES).items():
            unit = "MOS" if name == "rmse" else "correlation"
            found[f"{split}_{name}"] = _figure(estimate, len(part), unit)
        constant = rmse(part.assign(score=mean))
        found[f"{split}_rmse_of_mean"] = _figure((constant, math.nan, math.nan), len(part), "MOS")
    return found


def calibration_rows(table: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
    """(the split it is of, a row a bin): test's, or dev's where there is no test."""
    split = "test" if (table["split"] == "test").any() else "dev"
    made = calibration(table[table["split"] == split])
    return split, [
        {str(name): number(value) for name, value in row.items()}
        for row in made.to_dict("records")
    ]  # fmt: skip


def number(value: float) -> float | None:
    """Rounded to four places; None for what is not a number, as JSON has no NaN."""
    return None if math.isnan(value) else round(float(value), 4)


def _figure(measured: Estimate, n: int, unit: str) -> dict[str, Any]:
    value, low, high = map(number, measured)
    return {
        "value": value, "low": low, "high": high, "n": n, "unit": unit, "command": COMMAND,
    }  # fmt: skip
