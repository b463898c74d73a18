"""Means with intervals, and tests of one system against another on the same clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...schemas.errors import MetricError


@dataclass(frozen=True)
class Mean:
    """A mean over clips with its 95% interval (Student's t); None of it for a single clip."""

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: int


def mean_of(values: np.ndarray) -> Mean:
    """The mean of finite values [n]. Raises MetricError for none."""
    from scipy.special import stdtrit  # scipy.stats takes seconds to import

    values = np.asarray(values, np.float64)
    n = len(values)
    if n == 0:
        raise MetricError("the mean of no clips")
    value = float(values.mean())
    if n == 1:
        return Mean(value, None, None, None, 1)
    se = float(values.std(ddof=1) / np.sqrt(n))
    reach = float(stdtrit(n - 1, 0.975)) * se
    return Mean(value, se, value - reach, value + reach, n)


@dataclass(frozen=True)
class Paired:
    """B less A over the clips that both have.

    difference, low, high: the mean and its 95% interval (t). p_t: paired t test. p_wilcoxon: signed
    ranks. Both two-sided; 1 where no clip differs.
    """

    difference: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    n: int


def paired(a: np.ndarray, b: np.ndarray) -> Paired:
    """Compare two systems on the same clips, [n] each. Raises MetricError for fewer than 2."""
    from scipy import stats

    if len(a) != len(b) or len(a) < 2:
        raise MetricError(f"{len(a)} and {len(b)} clips: expected the same clips, at least 2")
    found = mean_of(np.asarray(b, np.float64) - np.asarray(a, np.float64))
    apart = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    if not apart.any():
        return Paired(0.0, 0.0, 0.0, 1.0, 1.0, len(a))
    p_t = float(2 * stats.t.sf(abs(found.value) / found.se, len(a) - 1)) if found.se else 0.0
    p_w = float(stats.wilcoxon(apart, zero_method="zsplit").pvalue)
    return Paired(found.value, found.low or 0.0, found.high or 0.0, p_t, p_w, len(a))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values (1979): the chance of any false finding among them is kept."""
    adjusted, highest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda k: p[k])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p}
