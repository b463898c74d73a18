"""Against the tools of others, on the same matrices. `make test-oracle` builds where they run.

torch-fidelity, fadtk and frechet-audio-distance are installed without their own dependencies.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import AUDIO, VISION, _taken_away, oracle  # noqa: F401

from qamdt.evaluate.metrics.frechet import frechet_distance, from_moments, gaussian
from qamdt.evaluate.metrics.inception import inception_score
from qamdt.evaluate.metrics.kad import kid

pytestmark = pytest.mark.oracle
CLOSE = 1e-10  # relative

SETS = {  # name: (rows, other rows, dimensions)
    "n > D": (500, 400, 64),
    "n >> D": (3000, 2000, 128),
    "n < D": (60, 50, 128),
    "n << D": (12, 9, 128),
}


@pytest.fixture(params=list(SETS))
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of correlated rows, float64, of unlike means.

    Well conditioned: where they are not, it is the others that lose digits (the closed forms of
    test_evaluate_frechet.py tell).
    """
    n, m, dim = SETS[request.param]
    rng = np.random.default_rng(dim + n)
    mix = 0.5 * rng.standard_normal((dim, dim)) / np.sqrt(dim) + np.eye(dim)  # condition 10 or so
    x = rng.standard_normal((n, dim)) @ mix
    y = rng.standard_normal((m, dim)) @ mix * 1.2 + 0.3 * rng.standard_normal(dim)
    return x, y


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.cov(rows, rowvar=False)


def test_frechet_of_torch_fidelity(pair: tuple[np.ndarray, np.ndarray]) -> None:
    fid = oracle("torch_fidelity.metric_fid", *VISION)
    stats = [fid.fid_features_to_statistics(torch.from_numpy(x)) for x in pair]
    key = "frechet_inception_distance"
    theirs = float(fid.fid_statistics_to_metric(*stats, False)[key])
    _agree(theirs, pair)


def test_frechet_of_fadtk(pair: tuple[np.ndarray, np.ndarray]) -> None:
    tool = oracle("fadtk.fad", *AUDIO)
    x, y = map(moments, pair)
    _agree(float(tool.calc_frechet_distance(x[0], x[1], y[0], y[1])), pair)


def test_frechet_of_frechet_audio_distance(pair: tuple[np.ndarray, np.ndarray]) -> None:
    tool = oracle("frechet_audio_distance.fad", *AUDIO)
    made = object.__new__(tool.FrechetAudioDistance)  # its constructor downloads a model
    made.verbose = False
    x, y = map(moments, pair)
    _agree(float(made.calculate_frechet_distance(x[0], x[1], y[0], y[1])), pair)


def _agree(theirs: float, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Theirs and ours to 10 digits.

    With fewer rows than dimensions they take roots of eigenvalues that rounding moved off 0, each
    wrong by up to sqrt(eps |A B|): that much, times the zeros, is allowed there, and ours is held
    against the exact value, from singular values of the rows in extended precision.
    """
    x, y = pair
    ours = frechet_distance(gaussian(x), gaussian(y))
    dim, rank = x.shape[1], min(len(x), len(y)) - 1
    allowed = CLOSE * ours
    if rank < dim:
        exact = _exact(x, y)
        assert ours == pytest.approx(exact, rel=1e-13)
        scale = np.linalg.norm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False), 2)
        allowed = max(allowed, (dim - rank) * np.sqrt(np.finfo(float).eps * scale))
    assert abs(theirs - ours) <= allowed, (theirs, ours)
    bare = frechet_distance(*(from_moments(len(v), *moments(v)) for v in pair))
    assert abs(bare - ours) <= allowed


def _exact(x: np.ndarray, y: np.ndarray) -> float:
    import mpmath

    mpmath.mp.dps = 40
    cross = mpmath.matrix(((x - x.mean(0)) @ (y - y.mean(0)).T).tolist())
    singular = mpmath.svd_r(cross, compute_uv=False)
    root = float(sum(singular)) / np.sqrt((len(x) - 1) * (len(y) - 1))
    (mx, cx), (my, cy) = moments(x), moments(y)
    return float(((mx - my) ** 2).sum() + np.trace(cx) + np.trace(cy) - 2 * root)


@pytest.mark.parametrize(("splits", "shuffle"), [(1, False), (10, False), (10, True)])
def test_inception_score_of_torch_fidelity(splits: int, shuffle: bool) -> None:
    tool = oracle("torch_fidelity.metric_isc", *VISION)
    logits = 3 * np.random.default_rng(0).standard_normal((503, 527))
    theirs = tool.isc_features_to_metric(torch.from_numpy(logits), splits, shuffle, 2020)
    ours = inception_score(logits, splits, shuffle)
    assert ours.value == pytest.approx(float(theirs["inception_score_mean"]), rel=CLOSE)
    assert ours.deviation == pytest.approx(
        float(theirs["inception_score_std"]), rel=CLOSE, abs=1e-12
    )


def test_kid_of_torch_fidelity() -> None:
    tool = oracle("torch_fidelity.metric_kid", *VISION)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 64)), 1.1 * rng.standard_normal((350, 64)) + 0.1
    theirs = tool.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=20, kid_subset_size=100,
        rng_seed=2020, kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1, verbose=False,
    )  # fmt: skip
    value, deviation = kid(x, y, subsets=20, size=100)
    assert value == pytest.approx(float(theirs["kernel_inception_distance_mean"]), rel=CLOSE)
    assert deviation == pytest.approx(float(theirs["kernel_inception_distance_std"]), rel=CLOSE)
