"""KAD and KID: kernel distances between sets of rows, float64, unbiased.

MMD^2 (Gretton et al. 2012, equation 3): the mean kernel inside each set, self-pairs left out, less
twice the mean kernel between them. It has no size bias; near 0 it may be negative.

KAD (Chung et al. 2025, arXiv 2502.15602) is 100 times MMD^2 with a Gaussian kernel whose bandwidth
is the median distance inside the reference, so that every set is measured with one kernel. (The
authors' code takes the median of the evaluated set: two sets then have two rulers.)

KID (Binkowski et al. 2018, arXiv 1801.01401): the kernel (x.y / D + 1)^3, the mean over subsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...reports.statistics import Z95
from ...schemas.errors import MetricError

SCALE = 100.0
MOST_FOR_MEDIAN = 5000  # reference rows the median is taken of, evenly spread over them
BLOCK = 1000  # rows of a kernel matrix at a time

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Kad:
    """KAD of a generated set.

    se: to first order, from the influence of each row of both sets (rows summed over clips by the
    caller's grouping). bandwidth: of the kernel. witness: float64 [n], the mean kernel of each
    generated row with the reference, from which two systems are compared.
    """

    value: float
    se: float
    low: float
    high: float
    bandwidth: float
    witness: np.ndarray


def kad(
    generated: np.ndarray,
    reference: np.ndarray,
    owners: tuple[np.ndarray, np.ndarray] | None = None,
    bandwidth: float | None = None,
) -> Kad:
    """KAD of rows [n, D] against rows [m, D].

    owners: the clip number of each row of both sides; default: a clip each. Raises MetricError for
    fewer than 2 rows on a side, or a reference whose rows are all equal.
    """
    if min(len(generated), len(reference)) < 2:
        raise MetricError(f"KAD needs 2 rows a side, got {len(generated)} and {len(reference)}")
    wide = median_distance(reference) if bandwidth is None else bandwidth
    if wide == 0:
        raise MetricError("the reference's rows are all equal: KAD has no bandwidth")
    kernel = gaussian_kernel(wide)
    n, m = len(generated), len(reference)
    inside = (row_sums(kernel, generated, generated) - 1) / (n - 1)
    theirs = (row_sums(kernel, reference, reference) - 1) / (m - 1)
    witness = row_sums(kernel, generated, reference) / m
    seen = row_sums(kernel, reference, generated) / n
    value = SCALE * (inside.mean() + theirs.mean() - 2 * witness.mean())
    own, other = owners if owners is not None else (np.arange(n), np.arange(m))
    variance = _variance(2 * (inside - witness), own) + _variance(2 * (theirs - seen), other)
    se = SCALE * float(np.sqrt(variance))
    return Kad(float(value), se, value - Z95 * se, value + Z95 * se, wide, witness)


def _variance(influence: np.ndarray, owner: np.ndarray) -> float:
    """Variance of the mean of an influence, summed over clips first."""
    per_clip = np.bincount(owner, influence - influence.mean())
    clips = len(per_clip)
    return float((per_clip**2).sum()) / len(influence) ** 2 * clips / max(1, clips - 1)


def gaussian_kernel(bandwidth: float) -> Kernel:
    """exp(-d^2 / (2 s^2 + 1e-8)); the 1e-8 is the authors'."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(_squared_distances(x, y) / -(2 * bandwidth**2 + 1e-8))

    return kernel


def row_sums(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sum over `y` of the kernel with each row of `x`: float64 [n]."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.concatenate([kernel(x[a : a + BLOCK], y).sum(1) for a in range(0, len(x), BLOCK)])


def median_distance(rows: np.ndarray) -> float:
    """The median distance between two different rows. [n, D]"""
    if len(rows) > MOST_FOR_MEDIAN:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_FOR_MEDIAN).round().astype(int)]
    rows = np.asarray(rows, np.float64)
    return float(np.median(np.sqrt(np.concatenate(list(_pairs(rows))))))


def _pairs(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances of all pairs i < j, block by block."""
    for a in range(0, len(rows), BLOCK):
        block = _squared_distances(rows[a : a + BLOCK], rows[a:])
        yield block[np.triu_indices(len(block), 1, block.shape[1])]


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[n, m], from differences to a common middle, which keeps them exact far from the origin."""
    middle = y.mean(0)
    x, y = x - middle, y - middle
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * (x @ y.T)
    return np.maximum(squared, 0, out=squared)


def poly_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3, [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(
    generated: np.ndarray,
    reference: np.ndarray,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """KID and its population deviation over `subsets` random subsets of `size` rows.

    Raises MetricError where a side has fewer rows than `size`.
    """
    if size > min(len(generated), len(reference)):
        raise MetricError(
            f"KID subsets of {size} rows from {len(generated)} and {len(reference)}: give a size "
            "no larger than both"
        )
    x, y = np.asarray(generated, np.float64), np.asarray(reference, np.float64)
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        a = x[rng.choice(len(x), size, replace=False)]
        b = y[rng.choice(len(y), size, replace=False)]
        values.append(squared_mmd(poly_kernel, a, b))
    return float(np.mean(values)), float(np.std(values))


def squared_mmd(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased MMD^2 of rows [n, D] and [m, D]."""
    inside, theirs = kernel(x, x), kernel(y, y)
    n, m = len(x), len(y)
    own = (inside.sum() - np.trace(inside)) / (n * (n - 1))
    other = (theirs.sum() - np.trace(theirs)) / (m * (m - 1))
    return float(own + other - 2 * kernel(x, y).mean())
