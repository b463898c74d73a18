"""The statistics of the bench, on plain arrays: AUC, shares, and 95% intervals for both.

Clips of one piece are alike, so intervals of AUCs resample pieces, not clips. A share of few cases
gets Wilson's interval, which stays honest at 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDS = 2000
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and the number of cases it rests on."""

    value: float
    low: float
    high: float
    n: int


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
    draws = np.empty(0)
    while draws.size < ROUNDS:
        drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), ROUNDS)
        up, down = drawn[:, first], drawn[:, second]  # [rounds, scores]: how often each counts
        pairs = up.sum(axis=1) * down.sum(axis=1)
        both = pairs > 0
        won = np.einsum("ri,ij,rj->r", up[both], wins, down[both], optimize=True)
        draws = np.concatenate([draws, won / pairs[both]])[:ROUNDS]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(wins.mean()), float(low), float(high), len(above) + len(below))


def share(hits: int, n: int) -> Estimate:
    """`hits` of `n` with Wilson's 95% interval. Raises ValueError for n = 0."""
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} of {n}: expected 0 <= hits <= n and n > 0")
    p = hits / n
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Estimate(p, max(0.0, float(middle - half)), min(1.0, float(middle + half)), n)


def _wins(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """[above, below]: 1 where the first is higher, .5 at a tie, else 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if above.size == 0 or below.size == 0:
        raise ValueError(f"AUC of {above.size} against {below.size} scores: both need at least one")
    if np.isnan(above).any() or np.isnan(below).any():
        raise ValueError("AUC of scores with NaN: leave out what was not measured")
    a, b = above[:, None], below[None, :]
    return (a > b) + 0.5 * (a == b)
