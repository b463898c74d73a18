"""Figures: a measured number as `{value, low, high, n, unit, command}`, its interval, its line.

`low` and `high` bound the 95% interval; both are None where a number has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...reports.statistics import bootstrap, group_counts, percentile_interval, share

Figure = dict[str, Any]
Figures = Mapping[str, Mapping[str, Any]]
Counts = list[tuple[str, float, float]]  # group, part, total: a row a clip
RATIO_ROUNDS, MEAN_ROUNDS = 1000, 4000


def figure(
    value: float, n: int, unit: str, command: str,
    low: float | None = None, high: float | None = None,
) -> Figure:  # fmt: skip
    """A figure. n: cases it rests on. command: what prints it."""
    return {"value": value, "low": low, "high": high, "n": n, "unit": unit, "command": command}


def ratio_figure(counts: Counts, unit: str, command: str) -> Figure:
    """Sum of the parts over the sum of the totals; the interval resamples groups.

    n is the number of rows whose total is above 0.
    """
    groups, index = np.unique([group for group, _, _ in counts], return_inverse=True)
    parts = np.bincount(index, [part for _, part, _ in counts], len(groups))
    totals = np.bincount(index, [total for _, _, total in counts], len(groups))
    drawn = group_counts(np.random.default_rng(0), len(groups), RATIO_ROUNDS)
    seen = drawn @ totals > 0
    low, high = percentile_interval((drawn @ parts)[seen] / (drawn @ totals)[seen])
    value, n = float(parts.sum() / totals.sum()), sum(total > 0 for _, _, total in counts)
    return figure(value, int(n), unit, command, float(low), float(high))


def mean_figure(values: np.ndarray, unit: str, command: str) -> Figure:
    """The mean of `values` [n] with its bootstrap interval."""
    low, high = bootstrap(lambda drawn: float(values[drawn].mean()), len(values), MEAN_ROUNDS)
    return figure(float(values.mean()), len(values), unit, command, float(low), float(high))


def share_figure(hits: np.ndarray, unit: str, command: str) -> Figure:
    """The share of True in `hits` [n] with Wilson's interval."""
    estimate = share(int(hits.sum()), len(hits))
    return figure(estimate.value, estimate.n, unit, command, estimate.low, estimate.high)


def range_figure(values: Iterable[float], unit: str, command: str) -> Figure:
    """The median of a few repeated measurements, with the least and the largest as its bounds."""
    values = sorted(values)
    return figure(
        float(np.median(values)), len(values), unit, command, float(values[0]), float(values[-1])
    )


def show_figures(figures: Figures) -> None:
    """Print a line a figure: name, value, interval, n, unit."""
    for name, f in figures.items():
        bounds = "" if f["low"] is None else f"[{f['low']:.3f}, {f['high']:.3f}]"
        print(f"{name:32} {f['value']:10.4g} {bounds:18} n={f['n']:<6} {f['unit']}", flush=True)
