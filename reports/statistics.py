"""Intervals and tests, once for all that reports a number.

    share       Wilson's interval of a proportion (1927): honest at 0 and 1, where p +- 2 se is not
    mean_of     Student's interval of a mean
    bootstrap   percentile interval of any statistic, whole groups being drawn with replacement
    paired      paired t test and Wilcoxon's signed ranks of two systems on the same cases
    holm        correction of several p-values (1979)

Sounds of one track, or clips of one piece, are alike: what is drawn must be the group, not the row.
All intervals are of 95%; all chance is seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..schemas.errors import MetricError

Z95 = 1.959963984540054  # the standard normal's 97.5% quantile
BOUNDS = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and the number of cases it rests on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Mean:
    """A mean with its standard error and 95% interval; None of them for a single case."""

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """B less A over the cases that both have.

    difference, low, high: the mean and its 95% interval (t). p_t: paired t test. p_wilcoxon: signed
    ranks. Both two-sided; 1 where no case differs.
    """

    difference: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    n: int


def share(hits: int, n: int) -> Estimate:
    """`hits` of `n` with Wilson's interval. Raises ValueError for n = 0 or hits outside 0..n."""
    from scipy.stats import binomtest

    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} of {n}: expected 0 <= hits <= n and n > 0")
    low, high = binomtest(int(hits), int(n)).proportion_ci(method="wilson")
    return Estimate(hits / n, float(low), float(high), int(n))


def mean_of(values: np.ndarray) -> Mean:
    """The mean of finite values [n]. Raises MetricError for none."""
    from scipy.special import stdtrit  # scipy.stats takes seconds to import

    values = np.asarray(values, np.float64)
    n = len(values)
    if n == 0:
        raise MetricError("the mean of no values: expected at least one")
    value = float(values.mean())
    if n == 1:
        return Mean(value, None, None, None, 1)
    se = float(values.std(ddof=1) / np.sqrt(n))
    reach = float(stdtrit(n - 1, BOUNDS[1])) * se
    return Mean(value, se, value - reach, value + reach, n)


def percentile_interval(values: np.ndarray) -> np.ndarray:
    """The bounds of the middle 95% of values [n] or [n, k], NaN left out: float64 [2] or [2, k].

    NaN where nothing is left.
    """
    values = np.asarray(values, np.float64)
    columns = values.reshape(len(values), -1)
    bounds = np.full((2, columns.shape[1]), np.nan)
    for k, column in enumerate(columns.T):
        if len(finite := column[~np.isnan(column)]):
            bounds[:, k] = np.quantile(finite, BOUNDS)
    return bounds.reshape(2, *values.shape[1:])


def bootstrap(
    measure: Callable[[np.ndarray], float | np.ndarray], n: int, rounds: int, seed: int = 0
) -> np.ndarray:
    """The percentile interval of a statistic under resampling: float64 [2], or [2, k].

    measure: from the numbers of the groups drawn (int [n], ascending, 0..n-1, some several times) to
    a value, or to k values; NaN where it cannot tell. It must not depend on their order.
    """
    drawn = np.sort(np.random.default_rng(seed).integers(0, n, (rounds, n)), axis=1)
    # Few groups have few different draws: each is measured once and counts as often as it came.
    different, counts = np.unique(drawn, axis=0, return_counts=True)
    values = np.array([measure(groups) for groups in different], np.float64)
    return percentile_interval(np.repeat(values, counts, axis=0))


def group_counts(rng: np.random.Generator, n: int, rounds: int) -> np.ndarray:
    """How often each of `n` groups is drawn when `n` are, with replacement: int [rounds, n].

    For statistics that are sums over groups, of which all rounds are one product of matrices.
    """
    return rng.multinomial(n, np.full(n, 1 / n), rounds)


def paired(a: np.ndarray, b: np.ndarray) -> Paired:
    """Compare two systems on the same cases, [n] each. Raises MetricError for fewer than 2."""
    from scipy import stats

    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) != len(b) or len(a) < 2:
        raise MetricError(f"{len(a)} and {len(b)} clips: expected the same clips, at least 2")
    apart = b - a
    if not apart.any():
        return Paired(0.0, 0.0, 0.0, 1.0, 1.0, len(a))
    mean = mean_of(apart)
    p_t = float(stats.ttest_rel(b, a).pvalue) if mean.se else 0.0
    p_ranks = float(stats.wilcoxon(apart, zero_method="zsplit").pvalue)
    return Paired(mean.value, mean.low or 0.0, mean.high or 0.0, p_t, p_ranks, len(a))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: the chance of any false finding among them is kept."""
    adjusted, highest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda k: p[k])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p}
