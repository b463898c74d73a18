"""The Frechet distance of two Gaussians, exactly, in float64.

    FD(a, b) = |mu_a - mu_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2)

(Dowson & Landau 1982, equation 4; for audio Kilgour et al. 2019, arXiv 1812.08466): the squared
2-Wasserstein distance, the mean and the unbiased (n - 1) covariance being taken over rows.

No square root of a matrix is ever formed. With C = F^T F for each side, the last trace is the sum
of the singular values of F_a F_b^T. F is the centred rows over sqrt(n - 1) where there are fewer
rows than dimensions, else a Cholesky factor; and where that one is well conditioned the singular
values are the roots of the eigenvalues of L^T C_b L, which takes half the time. Nothing is added
to a diagonal: a covariance without full rank is what it is.

Legend of shapes: n rows, D dimensions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...schemas.errors import MetricError

ROUNDING = 1e-9  # of the traces' sum: a distance below minus this is a mistake, not rounding
WELL_CONDITIONED = 1e-5  # smallest over largest pivot: eigenvalues then keep 10 digits


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance of rows, mergeable.

    n: rows. mean: float64 [D]. scatter: float64 [D, D], the sum of outer products of centred rows.
    rows: float64 [n, D], the centred rows where n <= D, from which the distance is more exact.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray
    rows: np.ndarray | None = None

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def cov(self) -> np.ndarray:
        """The unbiased covariance, float64 [D, D]."""
        return self.scatter / (self.n - 1)

    @property
    def rank(self) -> int:
        """The numerical rank of the covariance."""
        if self.rows is not None:
            return int(np.linalg.matrix_rank(self.rows))
        return int(np.linalg.matrix_rank(self.scatter, hermitian=True))


def gaussian(rows: np.ndarray) -> Gaussian:
    """Statistics of rows [n, D]. Raises MetricError for fewer than 2 rows, or NaN in them."""
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise MetricError(f"rows of shape {rows.shape}: expected [n, D] with n of at least 2")
    if not np.isfinite(rows).all():
        raise MetricError("rows hold NaN or infinity: leave those clips out first")
    mean = rows.mean(0)
    centred = rows - mean
    return Gaussian(
        len(rows), mean, centred.T @ centred, centred if len(rows) <= rows.shape[1] else None
    )


def from_moments(n: int, mean: np.ndarray, cov: np.ndarray) -> Gaussian:
    """Statistics somebody else computed. Raises MetricError where shapes or values do not fit."""
    mean, cov = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise MetricError(f"mean {mean.shape}, covariance {cov.shape}: expected [D] and [D, D]")
    if n < 2:
        raise MetricError(f"n = {n}: a covariance needs at least 2 rows")
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise MetricError("the mean or the covariance holds NaN or infinity")
    if not np.allclose(cov, cov.T, rtol=1e-5, atol=1e-8 * max(float(np.trace(cov)), 1e-300)):
        raise MetricError("the covariance is not symmetric")
    return Gaussian(n, mean, (cov + cov.T) / 2 * (n - 1))


def merge(parts: Iterable[Gaussian]) -> Gaussian:
    """Statistics of all rows of the parts: equal to one pass over them, whatever the split.

    Chan, Golub & LeVeque 1983 (equation 2.1): no difference of large sums. Raises MetricError for
    no part, or parts of several dimensions.
    """
    statistics = list(parts)
    if not statistics:
        raise MetricError("no statistics to merge")
    return functools.reduce(_merge, statistics)


def _merge(a: Gaussian, b: Gaussian) -> Gaussian:
    if a.dim != b.dim:
        raise MetricError(f"statistics of {a.dim} and of {b.dim} dimensions cannot be merged")
    n, apart = a.n + b.n, b.mean - a.mean
    mean = a.mean + apart * (b.n / n)
    scatter = a.scatter + b.scatter + np.outer(apart, apart) * (a.n * b.n / n)
    rows = None
    if n <= a.dim and a.rows is not None and b.rows is not None:
        rows = np.concatenate([a.rows + (a.mean - mean), b.rows + (b.mean - mean)])
    return Gaussian(n, mean, scatter, rows)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """FD(a, b), never negative. Raises MetricError for statistics that are of no rows."""
    if a.dim != b.dim:
        raise MetricError(f"statistics of {a.dim} and of {b.dim} dimensions have no distance")
    apart = a.mean - b.mean
    traces = (float(np.trace(a.scatter)) / (a.n - 1)) + (float(np.trace(b.scatter)) / (b.n - 1))
    distance = float(apart @ apart) + traces - 2 * cross_trace(a, b)
    if distance < -ROUNDING * traces:
        raise MetricError(
            f"the distance came out as {distance:.3e} with traces of {traces:.3e}: the statistics "
            "are not covariances of any rows"
        )
    return max(distance, 0.0)


def cross_trace(a: Gaussian, b: Gaussian) -> float:
    """tr (C_a C_b)^(1/2)."""
    if a.rows is None and b.rows is None:
        trace = _by_cholesky(a.cov, b.cov)
        if trace is not None:
            return trace
    import scipy.linalg

    return float(scipy.linalg.svdvals(_factor(a) @ _factor(b).T, check_finite=False).sum())


def _by_cholesky(a: np.ndarray, b: np.ndarray) -> float | None:
    """The sum of roots of eigenvalues of L^T B L, or None where neither side allows it."""
    import scipy.linalg
    from scipy.linalg import blas

    for one, other in ((a, b), (b, a)):
        low = _cholesky(one)
        if low is None or np.diag(low).min() < WELL_CONDITIONED * np.diag(low).max():
            continue
        inner = blas.dtrmm(1.0, low, other, side=1, lower=1)  # other @ L
        inner = blas.dtrmm(1.0, low, inner, side=0, lower=1, trans_a=1)  # L^T @ other @ L
        values = scipy.linalg.eigvalsh(inner, check_finite=False, overwrite_a=True)
        return float(np.sqrt(values.clip(0)).sum())
    return None


def _factor(side: Gaussian) -> np.ndarray:
    """F with C = F^T F: centred rows [n, D], a Cholesky factor, or roots of eigenvalues [D, D]."""
    if side.rows is not None:
        return side.rows / np.sqrt(side.n - 1)
    low = _cholesky(side.cov)
    return low.T if low is not None else root_factor(side.cov)


def root_factor(cov: np.ndarray) -> np.ndarray:
    """F [D, D] with C = F^T F from the eigenvalues, those that rounding made negative as 0.

    Raises MetricError where an eigenvalue is negative beyond rounding.
    """
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(cov, check_finite=False)
    if values[0] < -1e-6 * max(values[-1], 0.0):
        raise MetricError(
            f"a covariance has the eigenvalue {values[0]:.3e} beside {values[-1]:.3e}: it is none"
        )
    root: np.ndarray = np.sqrt(values.clip(0))[:, None] * vectors.T
    return root


def _cholesky(cov: np.ndarray) -> np.ndarray | None:
    import scipy.linalg

    try:
        low: np.ndarray = scipy.linalg.cholesky(cov, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return low if np.isfinite(low).all() else None
