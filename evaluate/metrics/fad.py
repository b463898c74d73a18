"""FAD with its bias, its error bar, and each clip's share in it.

The Frechet distance of samples is too large, by about D^2 / n and more: two samples of one
distribution are apart. What is reported beside the plain value:

`unbiased` takes off the expected second-order term of the Taylor expansion of FD in both samples,
and removes the next order by Richardson's extrapolation from halves: (4 T_n - T_{n/2}) / 3. The
second derivative in the eigenbasis of M = A^(1/2) B A^(1/2), eigenvalues s_i^2, is

    d^2 FD = 1/2 sum_ij E_ij^2 / (s_i s_j (s_i + s_j)),   E = the change of M

(divided differences of the square root; Bhatia, Matrix Analysis, theorem V.3.3 and its second
order), and E[E_ij^2] is measured from the sample itself, so nothing is taken to be Gaussian.

The standard error is that of the influence function (delta method): with T the optimal transport
map from the sample's Gaussian to the other one,

    IF(y) = 2 (y - mu).(mu - mu') + (y - mu)^T (I - T) (y - mu) - its mean

summed over the rows of a clip, since rows of one clip are not independent. `figures-evaluator`
measures that intervals made of the two cover the truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...reports.statistics import Z95
from ...schemas.errors import MetricError
from .frechet import Gaussian, frechet_distance, gaussian, root_factor

SPLITS = 3  # halvings that the extrapolation averages over
SEED = 2020
LEAST_CLIPS = 20


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows and the clip that each is of.

    rows: float64 [N, D]. owner: int [N], clip numbers 0, 1, ..., ascending.
    """

    rows: np.ndarray
    owner: np.ndarray

    @property
    def clips(self) -> int:
        return int(self.owner[-1]) + 1 if len(self.owner) else 0

    def part(self, clips: np.ndarray) -> Sample:
        """The rows of some clips, renumbered in their order."""
        place = np.full(self.clips, -1)
        place[np.sort(clips)] = np.arange(len(clips))
        kept = place[self.owner] >= 0
        return Sample(self.rows[kept], place[self.owner[kept]])


@dataclass(frozen=True)
class Fad:
    """FAD of a generated set. See the module for `unbiased`, `se`, `low` and `high`.

    low, high, unbiased, se: None where there are too few clips for the dimension; `why` says so.
    influence: float64 [clips], how much FAD would fall, to first order, without that clip.
    fixed_reference: the reference was statistics alone, so the interval is for this very reference.
    """

    value: float
    unbiased: float | None
    se: float | None
    low: float | None
    high: float | None
    why: str
    influence: np.ndarray
    fixed_reference: bool


def sample(per_clip: list[np.ndarray]) -> Sample:
    """A Sample of one [rows, D] array per clip."""
    counts = [len(rows) for rows in per_clip]
    return Sample(
        np.concatenate(per_clip).astype(np.float64), np.repeat(np.arange(len(counts)), counts)
    )


def fad(generated: Sample, reference: Sample | Gaussian) -> Fad:
    """FAD of `generated` against a reference set, or against statistics taken as they are."""
    ours = gaussian(generated.rows)
    theirs = reference if isinstance(reference, Gaussian) else gaussian(reference.rows)
    value = frechet_distance(theirs, ours)
    per_clip = clip_influence(generated, ours, theirs)
    why = _why_no_interval(generated, reference)
    fixed = isinstance(reference, Gaussian)
    shares = per_clip / max(1, generated.clips)
    if why:
        return Fad(value, None, None, None, None, why, shares, fixed)
    variance = _variance_of_mean(per_clip)
    if isinstance(reference, Sample):
        variance += _variance_of_mean(clip_influence(reference, theirs, ours))
    unbiased, se = extrapolated(generated, reference), float(np.sqrt(variance))
    return Fad(
        value, unbiased, se, unbiased - Z95 * se, unbiased + Z95 * se, "", shares, fixed
    )  # fmt: skip


def _why_no_interval(generated: Sample, reference: Sample | Gaussian) -> str:
    for name, side in (("generated", generated), ("reference", reference)):
        if isinstance(side, Gaussian):
            continue
        rows, dim = side.rows.shape
        if rows < 2 * dim + 2 or side.clips < LEAST_CLIPS:
            return (
                f"no interval: {side.clips} {name} clips, {rows} rows of {dim} dimensions; needs "
                f"{LEAST_CLIPS} clips and {2 * dim + 2} rows (a half must have full rank)"
            )
    if isinstance(reference, Gaussian) and reference.rank < reference.dim:
        return (
            f"no interval: the reference's covariance has rank {reference.rank} of {reference.dim}"
        )
    return ""


def extrapolated(generated: Sample, reference: Sample | Gaussian) -> float:
    """FAD without its bias to second order in 1/n: may be negative where there is no distance."""
    rng = np.random.default_rng(SEED)
    full = corrected(generated, reference)
    halves = []
    for _ in range(SPLITS):
        ours = _halves(generated, rng)
        theirs: Sequence[Sample | Gaussian] = (
            [reference] * 2 if isinstance(reference, Gaussian) else _halves(reference, rng)
        )
        halves += [corrected(a, b) for a, b in zip(ours, theirs, strict=True)]
    return (4 * full - float(np.mean(halves))) / 3


def _halves(side: Sample, rng: np.random.Generator) -> list[Sample]:
    order = rng.permutation(side.clips)
    half = side.clips // 2
    return [side.part(order[:half]), side.part(order[half : 2 * half])]


def corrected(generated: Sample, reference: Sample | Gaussian) -> float:
    """FAD less the expected second-order term in every side that is a sample."""
    ours = gaussian(generated.rows)
    theirs = reference if isinstance(reference, Gaussian) else gaussian(reference.rows)
    distance = frechet_distance(theirs, ours) - second_order(generated, ours, theirs)
    if isinstance(reference, Sample):
        distance -= second_order(reference, theirs, ours)
    return distance


def second_order(side: Sample, own: Gaussian, other: Gaussian) -> float:
    """The expected second-order term of FD that sampling `side` adds."""
    to_basis, roots = _basis(own, other)
    centred = side.rows - own.mean
    placed = centred @ to_basis.T  # rows of A^(1/2) (y - mu) in the eigenbasis of M
    weight = 1 / (np.outer(roots, roots) * (roots[:, None] + roots[None, :]))
    n = len(side.rows)
    if n == side.clips:  # one row a clip: a single product of matrices
        squares = placed**2
        fourth = squares.T @ squares / n - np.diag(roots**4)
        mean_part = float((centred**2).sum()) / n**2
        return mean_part + 0.5 * float((weight * fourth).sum()) / n
    moved = np.zeros_like(weight)
    mean_part = 0.0
    inner = np.diag(roots**2)
    for first, end in _spans(side.owner):
        block = placed[first:end]
        moved += (block.T @ block - (end - first) * inner) ** 2
        mean_part += float((centred[first:end].sum(0) ** 2).sum())
    return (mean_part + 0.5 * float((weight * moved).sum())) / n**2


def clip_influence(side: Sample, own: Gaussian, other: Gaussian) -> np.ndarray:
    """The influence of each clip of `side` on FD: float64 [clips], mean 0, scaled to n = clips."""
    to_basis, roots = _basis(own, other)
    centred = side.rows - own.mean
    placed = centred @ to_basis.T
    carried = (placed**2) @ np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
    each = 2 * centred @ (own.mean - other.mean) + (centred**2).sum(1) - carried
    each -= each.mean()
    per_clip = np.bincount(side.owner, each, minlength=side.clips)
    return per_clip * (side.clips / len(side.rows))


def _basis(own: Gaussian, other: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    """(U^T A^(1/2) [D, D], roots s [D] of the eigenvalues of M), A being `other`'s covariance.

    F with F^T F = A stands for A^(1/2): they differ by a rotation, which U absorbs. Directions in
    which the sample has no variance are left out (root 0): there the map is not known.
    """
    import scipy.linalg

    factor = root_factor(other.cov)
    values, vectors = scipy.linalg.eigh(factor @ own.cov @ factor.T, check_finite=False)
    values = np.where(values > 1e-12 * max(values[-1], 0.0), values, 0.0)
    return vectors.T @ factor, np.sqrt(values)


def _variance_of_mean(per_clip: np.ndarray) -> float:
    return float(per_clip.var(ddof=1)) / len(per_clip)


def _spans(owner: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]
    return itertools.pairwise(edges)


@dataclass(frozen=True)
class FadInf:
    """FAD at infinitely many clips: the intercept of a line in 1/n (Chong & Forsyth 2020).

    se: of the intercept, from the residuals of the fit. sizes: clips in the blocks of the fit.
    """

    value: float
    slope: float
    r2: float
    se: float
    sizes: tuple[int, ...]


def fad_inf(generated: Sample, reference: Gaussian) -> FadInf:
    """FAD-inf of `generated`, arXiv 1911.07023, section 4, with disjoint blocks.

    Blocks of n, n/2, n/4 and n/8 clips, none drawn twice: drawn with replacement, as other tools
    do, the limit is the plain FAD. Each point weighs as many clips as it has. Raises MetricError
    where fewer than two sizes have more rows than dimensions.
    """
    rows_a_clip = len(generated.rows) / max(1, generated.clips)
    counts = [
        k for k in (1, 2, 4, 8) if generated.clips // k * rows_a_clip > reference.dim + 1
    ]  # fmt: skip
    if len(counts) < 2:
        raise MetricError(
            f"FAD-inf needs more than {2 * (reference.dim + 1)} rows at {reference.dim} dimensions;"
            f" there are {len(generated.rows)}"
        )
    order = np.random.default_rng(SEED).permutation(generated.clips)
    points = []
    for k in counts:
        size = generated.clips // k
        for i in range(k):
            block = generated.part(order[i * size : (i + 1) * size])
            points.append((size, frechet_distance(reference, gaussian(block.rows))))
    sizes, values = np.array(points).T
    design = np.stack([np.ones_like(sizes), 1 / sizes], 1)
    normal = np.linalg.inv(design.T @ (sizes[:, None] * design))
    intercept, slope = line = normal @ design.T @ (sizes * values)
    rest = sizes * (values - design @ line) ** 2
    spread = sizes * (values - np.average(values, weights=sizes)) ** 2
    error = np.sqrt(rest.sum() / max(1, len(sizes) - 2) * normal[0, 0])
    r2 = 1 - rest.sum() / spread.sum() if spread.sum() > 0 else 1.0
    return FadInf(
        float(intercept), float(slope), float(r2), float(error),
        tuple(generated.clips // k for k in counts),
    )  # fmt: skip
