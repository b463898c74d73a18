"""AUC of the bench, on plain arrays, with a 95% interval.

Clips of one piece are alike, so intervals resample pieces, not clips.
"""

from __future__ import annotations

import numpy as np

from ...reports.statistics import Estimate, group_counts, percentile_interval

ROUNDS = 2000


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """Probability that one of `above` scores higher than one of `below`; a tie counts half.

    Raises ValueError when either is empty or holds a NaN.
    """
    return float(_wins(above, below).mean())


def auc_by_group(
    above: np.ndarray,
    below: np.ndarray,
    above_group: np.ndarray,
    below_group: np.ndarray,
    seed: int = 0,
) -> Estimate:
    """`auc` with an interval from resampling groups (pieces) with all their clips.

    n is the number of scores. Rounds in which a side has no clip are drawn again.
    """
    wins = _wins(above, below)
    groups, index = np.unique(np.concatenate([above_group, below_group]), return_inverse=True)
    first, second = index[: len(above)], index[len(above) :]
    rng = np.random.default_rng(seed)
    values = np.empty(0)
    while values.size < ROUNDS:
        drawn = group_counts(rng, len(groups), ROUNDS)
        up, down = drawn[:, first], drawn[:, second]  # [rounds, scores]: how often each counts
        pairs = up.sum(axis=1) * down.sum(axis=1)
        both = pairs > 0
        won = np.einsum("ri,ij,rj->r", up[both], wins, down[both], optimize=True)
        values = np.concatenate([values, won / pairs[both]])[:ROUNDS]
    low, high = percentile_interval(values)
    return Estimate(float(wins.mean()), float(low), float(high), len(above) + len(below))


def _wins(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """[above, below]: 1 where the first is higher, .5 at a tie, else 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if above.size == 0 or below.size == 0:
        raise ValueError(f"AUC of {above.size} against {below.size} scores: both need at least one")
    if np.isnan(above).any() or np.isnan(below).any():
        raise ValueError("AUC of scores with NaN: leave out what was not measured")
    a, b = above[:, None], below[None, :]
    return (a > b) + 0.5 * (a == b)
