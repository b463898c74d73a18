"""How well a scorer agrees with labels: correlations, error, order, calibration, intervals.

Every measure takes a table with the columns `mos` (the label) and `score` (the prediction), a row a
sound, and returns one number; NaN where the table cannot tell (fewer than two rows, or a column
without variation). Sounds of one album, or versions of one clip, are alike: `interval` resamples
whole groups, not rows. All p-MOS models are measured by the functions of this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from ...reports.statistics import bootstrap

Measure = Callable[[pd.DataFrame], float]
Estimate = tuple[float, float, float]  # value, low, high


def pearson(table: pd.DataFrame) -> float:
    """Linear correlation, -1..1."""
    return _correlation(table["mos"].to_numpy(float), table["score"].to_numpy(float))


def spearman(table: pd.DataFrame) -> float:
    """Correlation of ranks, -1..1; equal values share their mean rank."""
    from scipy.stats import rankdata

    return _correlation(rankdata(table["mos"]), rankdata(table["score"]))


def kendall(table: pd.DataFrame) -> float:
    """Kendall's tau-b, -1..1: pairs in the same order less pairs in the other, less ties."""
    from scipy.stats import kendalltau

    mos, score = table["mos"].to_numpy(float), table["score"].to_numpy(float)
    if _constant(mos) or _constant(score):
        return math.nan
    return float(kendalltau(mos, score).statistic)


def rmse(table: pd.DataFrame) -> float:
    """Root of the mean squared error, in MOS."""
    error = table["mos"].to_numpy(float) - table["score"].to_numpy(float)
    return math.sqrt(np.mean(error**2)) if len(error) else math.nan


def interval(
    table: pd.DataFrame, measure: Measure, over: str, tries: int = 500, seed: int = 0
) -> Estimate:
    """(value, low, high): `measure` with its 95% interval from resampling groups of rows.

    over: the column whose equal values are one group, drawn with all its rows. low and high are NaN
    where there are fewer than two groups, or where no resampling could be measured. `measure` must
    not depend on the order of rows. Raises ValueError without that column.
    """
    return intervals(table, {"": measure}, over, tries, seed)[""]


def intervals(
    table: pd.DataFrame, measures: Mapping[str, Measure], over: str, tries: int = 500, seed: int = 0
) -> dict[str, Estimate]:
    """`interval` of several measures over the same resamplings."""
    if over not in table:
        raise ValueError(f"no column {over!r} to resample over: the table has {list(table)}")
    values = {
        name: measure(table) if len(table) else math.nan for name, measure in measures.items()
    }
    codes, _ = pd.factorize(table[over], use_na_sentinel=False)
    groups = int(codes.max()) + 1 if len(codes) else 0
    if groups < 2:
        return {name: (value, math.nan, math.nan) for name, value in values.items()}
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    functions = list(measures.values())

    def measured(drawn: np.ndarray) -> np.ndarray:
        sample = table.take(np.concatenate([rows[k] for k in drawn]))
        return np.array([measure(sample) for measure in functions])

    low, high = bootstrap(measured, groups, tries, seed)
    return {name: (values[name], float(low[k]), float(high[k])) for k, name in enumerate(measures)}


def calibration(table: pd.DataFrame, width: float = 0.5) -> pd.DataFrame:
    """What the labels are where the model says so: a row a bin of `score`, empty bins left out.

    Columns: from_, to (the bin, in MOS; the first and the last take what lies outside 1..5), n,
    score and mos (the means in the bin), spread (standard deviation of its labels).
    """
    edges = np.append(np.arange(1, 5 - 1e-9, width), 5.0)
    bins = np.clip(np.digitize(table["score"], edges) - 1, 0, len(edges) - 2)
    by_bin = table.groupby(bins)
    made = pd.DataFrame({
        "n": by_bin.size(), "score": by_bin["score"].mean(), "mos": by_bin["mos"].mean(),
        "spread": by_bin["mos"].std(ddof=0),
    })  # fmt: skip
    made.insert(0, "from_", edges[made.index])
    made.insert(1, "to", edges[made.index + 1])
    return made.reset_index(drop=True)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {"pearson": pearson, "spearman": spearman, "kendall": kendall, "rmse": rmse}
)


def _constant(values: np.ndarray) -> bool:
    return len(values) < 2 or bool(np.ptp(values) == 0)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if _constant(a) or _constant(b):
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
