"""Simulations with known truth: closed forms of the Frechet distance, coverage of intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...evaluate.metrics.fad import fad, sample
from ...evaluate.metrics.frechet import frechet_distance, from_moments, gaussian, merge
from ...evaluate.metrics.kad import SCALE, gaussian_kernel, kad, median_distance


def covariances(dim: int, condition: float = 1e4) -> tuple[np.ndarray, np.ndarray]:
    """Two covariances of one spectrum, from 1 down to 1 / condition, in unlike directions."""
    spectrum = np.logspace(0, -np.log10(condition), dim)
    return rotated(spectrum, 1), rotated(spectrum, 2)


def rotated(spectrum: np.ndarray, seed: int) -> np.ndarray:
    """Q diag(spectrum) Q^T for a random rotation."""
    q = rotation(len(spectrum), seed)
    matrix: np.ndarray = (q * spectrum) @ q.T
    return (matrix + matrix.T) / 2


def rotation(dim: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix."""
    q: np.ndarray = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    return q


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """FD of equal means by the square root of a matrix, as most tools compute it."""
    import scipy.linalg

    root = scipy.linalg.sqrtm(a @ b)
    return float(np.trace(a) + np.trace(b) - 2 * np.trace(np.real(root)))


def closed_form_error(dim: int, condition: float) -> float:
    """Relative error on a pair whose distance is known: B = T A T gives tr (I - T) A (I - T)."""
    a, _ = covariances(dim, condition)
    stretch = rotated(np.random.default_rng(3).uniform(0.5, 1.5, dim), 4)
    b = stretch @ a @ stretch
    left = np.eye(dim) - stretch
    truth = float(np.trace(left @ a @ left))
    ones = [from_moments(10**6, np.zeros(dim), c) for c in (a, (b + b.T) / 2)]
    return abs(frechet_distance(*ones) - truth) / truth


def few_rows_error(n: int, dim: int) -> float:
    """The same from fewer rows than dimensions: Y = X T for a symmetric, positive T."""
    rows = np.random.default_rng(5).standard_normal((n, dim)) + 1
    stretch = rotated(np.random.default_rng(6).uniform(0.5, 1.5, dim), 7)
    # T must map the rows' own span into itself, or the optimal map is another one
    basis = np.linalg.qr((rows - rows.mean(0)).T)[0][:, : n - 1]
    stretch = np.eye(dim) + basis @ (basis.T @ (stretch - np.eye(dim)) @ basis) @ basis.T
    moved = rows @ stretch
    one, other = gaussian(rows), gaussian(moved)
    left = (rows - rows.mean(0)) @ (np.eye(dim) - stretch)
    truth = float(((one.mean - other.mean) ** 2).sum() + (left**2).sum() / (n - 1))
    return abs(frechet_distance(one, other) - truth) / truth


def merge_error(parts: int, seed: int) -> float:
    """Relative error of FD by merged statistics against a single pass, far from the origin."""
    rng = np.random.default_rng(seed)
    rows, other = (
        rng.standard_normal((3000, 64)) + 50,
        gaussian(rng.standard_normal((900, 64)) + 49),
    )
    cuts = np.sort(rng.choice(np.arange(2, 2990, 3), parts - 1, replace=False))
    merged = frechet_distance(merge(gaussian(p) for p in np.split(rows, cuts)), other)
    single = frechet_distance(gaussian(rows), other)
    return abs(merged - single) / single


@dataclass(frozen=True)
class Coverage:
    """One kind of truth. covered: bool [repeats]. bias: mean error; spread: its deviation."""

    kind: str
    truth: float
    covered: np.ndarray
    bias: float
    spread: float


KINDS = ("shifted", "stretched", "both", "equal", "heavy tails")


def coverage(repeats: int, n: int, dim: int) -> list[Coverage]:
    """Intervals of FAD from two samples of n rows each, a spectrum of 1 / k, traces of 1."""
    return [_coverage(kind, repeats, n, dim, seed) for seed, kind in enumerate(KINDS)]


def _coverage(kind: str, repeats: int, n: int, dim: int, seed: int) -> Coverage:
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.arange(1, dim + 1)
    spectrum /= spectrum.sum()
    q = rotation(dim, 20 + seed)
    stretch, shift = np.eye(dim), np.zeros(dim)
    if kind in ("shifted", "both", "heavy tails"):
        shift = q[:, 0] * np.sqrt(0.0125)
    if kind in ("stretched", "both"):
        stretch = rotated(1 + 0.1 * rng.standard_normal(dim), 30 + seed)
    base = (q * spectrum) @ q.T
    left = np.eye(dim) - stretch
    truth = float(shift @ shift + np.trace(left @ base @ left))
    covered, unbiased = [], []
    for ours, theirs in _pairs(kind, repeats, n, q * np.sqrt(spectrum), rng):
        one = fad(sample(list((ours @ stretch + shift)[:, None])), sample(list(theirs[:, None])))
        if one.low is None or one.high is None or one.unbiased is None:
            raise RuntimeError(one.why)
        covered.append(one.low <= truth <= one.high)
        unbiased.append(one.unbiased)
    values = np.array(unbiased)
    return Coverage(
        kind, truth, np.array(covered), float(values.mean() - truth),
        float(values.std(ddof=1)),
    )  # fmt: skip


def _pairs(
    kind: str, repeats: int, n: int, factor: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of samples [n, D] with covariance factor factor^T; heavy tails: Student's t, 8 degrees."""
    for _ in range(repeats):
        pair = rng.standard_normal((2, n, factor.shape[1]))
        if kind == "heavy tails":
            pair *= np.sqrt(6 / rng.chisquare(8, (2, n, 1)))
        yield pair[0] @ factor.T, pair[1] @ factor.T


def kad_coverage(repeats: int, n: int, dim: int) -> np.ndarray:
    """Whether intervals of KAD hold its value for the distributions: bool [repeats].

    The truth is the mean over all repeats at one bandwidth, KAD being unbiased.
    """
    rng = np.random.default_rng(9)
    wide = median_distance(rng.standard_normal((1000, dim)))
    results = []
    for _ in range(repeats):
        ours = rng.standard_normal((n, dim)) * 1.1 + 0.1
        results.append(kad(ours, rng.standard_normal((n, dim)), bandwidth=wide))
    many = rng.standard_normal((2, 6000, dim)) * [[[1.1]], [[1.0]]] + [[[0.1]], [[0.0]]]
    kernel = gaussian_kernel(wide)
    inside = [float(kernel(s[:3000], s[3000:]).mean()) for s in many]
    truth = SCALE * (sum(inside) - 2 * float(kernel(many[0][:3000], many[1][:3000]).mean()))
    return np.array([k.low <= truth <= k.high for k in results])
