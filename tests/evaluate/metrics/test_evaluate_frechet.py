"""metrics/frechet.py, metrics/fad.py: laws of the distance, of merging, of its error bar."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.benchmarks.evaluation import simulate
from qamdt.evaluate.metrics.fad import Sample, clip_influence, fad, fad_inf, sample
from qamdt.evaluate.metrics.frechet import (
    Gaussian,
    frechet_distance,
    from_moments,
    gaussian,
    merge,
    root_factor,
)
from qamdt.schemas.errors import MetricError


def rows(n: int, dim: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Correlated rows with a mean, unlike in every direction."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((dim, dim)) / np.sqrt(dim) + np.eye(dim)
    return scale * (rng.standard_normal((n, dim)) @ mix + rng.standard_normal(dim))


def one_a_clip(values: np.ndarray) -> Sample:
    return sample(list(values[:, None]))


SIZES = pytest.mark.parametrize("n", [10, 24, 25, 40, 400], ids=lambda n: f"n{n}")


@SIZES
def test_a_set_is_at_no_distance_from_itself(n: int) -> None:
    found = gaussian(rows(n, 24))
    assert 0 <= frechet_distance(found, found) <= 1e-9


@SIZES
def test_symmetric_and_never_negative(n: int) -> None:
    a, b = gaussian(rows(n, 24)), gaussian(rows(50, 24, seed=1))
    there, back = frechet_distance(a, b), frechet_distance(b, a)
    assert there > 0 and back == pytest.approx(there, rel=1e-12)


@SIZES
def test_a_shift_adds_its_square(n: int) -> None:
    a, b, shift = rows(n, 24), rows(60, 24, seed=1), np.linspace(-1, 2, 24)
    apart = a.mean(0) - b.mean(0)
    plain = frechet_distance(gaussian(a), gaussian(b))
    moved = frechet_distance(gaussian(a + shift), gaussian(b))
    expected = plain - apart @ apart + (apart + shift) @ (apart + shift)
    assert moved == pytest.approx(expected, rel=1e-11)


@SIZES
def test_scale_squares_and_rotation_changes_nothing(n: int) -> None:
    a, b = rows(n, 24), rows(60, 24, seed=1)
    plain = frechet_distance(gaussian(a), gaussian(b))
    rotate = simulate.rotation(24, 3)
    assert frechet_distance(gaussian(3 * a), gaussian(3 * b)) == pytest.approx(9 * plain, rel=1e-11)
    rotated = frechet_distance(gaussian(a @ rotate), gaussian(b @ rotate))
    assert rotated == pytest.approx(plain, rel=1e-10)


def test_order_of_rows_is_nothing() -> None:
    a, b = rows(100, 16), gaussian(rows(90, 16, seed=1))
    shuffled = a[np.random.default_rng(0).permutation(100)]
    assert frechet_distance(gaussian(a), b) == pytest.approx(
        frechet_distance(gaussian(shuffled), b), rel=1e-12
    )


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
@pytest.mark.parametrize("dim", [8, 96])
def test_closed_form_of_a_known_map(dim: int, condition: float) -> None:
    """B = T A T: FD = tr (I - T) A (I - T), to 11 digits even where A is nearly singular.

    There the rounding of B itself is what is left.
    """
    assert simulate.closed_form_error(dim, condition) < (1e-12 if condition < 1e7 else 1e-11)


@pytest.mark.parametrize("n", [5, 40, 96])
def test_closed_form_with_fewer_rows_than_dimensions(n: int) -> None:
    assert simulate.few_rows_error(n, 96) < 1e-12


def test_commuting_covariances_by_hand() -> None:
    a = from_moments(10, np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    b = from_moments(10, np.array([0.0, 0.0]), np.diag([1.0, 16.0]))
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2, rel=1e-14)


def test_constant_rows_give_trace_and_shift() -> None:
    """Silence, say: every row the same. FD is then the other side's trace and the means' distance."""
    a, b = gaussian(np.ones((30, 8))), gaussian(rows(50, 8))
    expected = np.trace(b.cov) + ((b.mean - 1) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_covariances_without_full_rank_from_moments_alone() -> None:
    """As statistics of other tools come: no rows, a singular covariance, nothing added to it."""
    a, b = rows(10, 24), rows(12, 24, seed=1)
    exact = frechet_distance(gaussian(a), gaussian(b))
    bare = [from_moments(len(x), x.mean(0), np.cov(x, rowvar=False)) for x in (a, b)]
    assert frechet_distance(*bare) == pytest.approx(exact, rel=1e-7)
    assert frechet_distance(bare[0], bare[0]) <= 1e-6 * np.trace(bare[0].cov)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=7), st.integers(0, 10**6))
def test_merging_any_split_is_a_single_pass(sizes: list[int], seed: int) -> None:
    values = rows(sum(sizes), 12, seed) + 1000
    cut = np.split(values, np.cumsum(sizes)[:-1])
    merged, single = merge(map(gaussian, cut)), gaussian(values)
    assert merged.n == single.n
    np.testing.assert_allclose(merged.mean, single.mean, rtol=1e-13)
    np.testing.assert_allclose(
        merged.scatter, single.scatter, rtol=0, atol=1e-11 * np.trace(single.scatter)
    )
    assert (merged.rows is None) == (single.rows is None)


def test_seven_shards_give_the_distance_of_a_single_pass_to_12_digits() -> None:
    assert max(simulate.merge_error(7, seed) for seed in range(4)) < 1e-12


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(MetricError, match="at least 2"):
        gaussian(np.zeros((1, 4)))
    with pytest.raises(MetricError, match="NaN"):
        gaussian(np.array([[1.0, np.nan], [0, 0]]))
    with pytest.raises(MetricError, match="dimensions"):
        frechet_distance(gaussian(rows(9, 4)), gaussian(rows(9, 5)))
    with pytest.raises(MetricError, match="not symmetric"):
        from_moments(9, np.zeros(2), np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(MetricError, match="eigenvalue"):
        root_factor(np.diag([1.0, -1.0]))
    broken = Gaussian(10, np.zeros(2), np.diag([9.0, 9.0]), rows=np.full((10, 2), 5.0))
    with pytest.raises(MetricError, match="not covariances"):
        frechet_distance(broken, broken)


# --- FAD: error bar and shares -----------------------------------------------------------------


def test_noise_of_growing_level_is_monotone() -> None:
    rng = np.random.default_rng(0)
    values, noise = rows(600, 32), rng.standard_normal((600, 32))
    found = [
        fad(one_a_clip(values + level * noise), one_a_clip(values)).value
        for level in (0, 0.05, 0.1, 0.2, 0.4, 0.8)
    ]
    assert found[0] <= 1e-9 and all(b > a for a, b in itertools.pairwise(found))


def test_intervals_hold_the_truth_and_the_plain_value_does_not() -> None:
    runs = simulate.coverage(repeats=12, n=300, dim=32)
    hits = np.concatenate([r.covered for r in runs])
    assert hits.mean() >= 0.85  # 60 intervals of 95%: fewer than 51 happen once in 10^4
    assert all(abs(r.bias) < 1.5 * r.spread for r in runs)


def test_unbiased_is_near_zero_for_one_distribution_and_plain_is_not() -> None:
    a, b = (np.random.default_rng(s).standard_normal((400, 48)) for s in (1, 2))
    found = fad(one_a_clip(a), one_a_clip(b))
    assert found.value > 3 and abs(found.unbiased or 9) < 0.4


def test_influence_is_the_derivative() -> None:
    """The share of a clip is, to first order, what leaving it out takes off FD."""
    ours, theirs = one_a_clip(rows(4000, 6)), gaussian(rows(3000, 6, seed=1))
    whole = fad(ours, theirs)
    for clip in np.argsort(whole.influence)[[0, 2000, -1]]:
        rest = np.delete(np.arange(4000), clip)
        change = whole.value - frechet_distance(theirs, gaussian(ours.rows[rest]))
        assert change == pytest.approx(whole.influence[clip], abs=2e-5 * whole.value, rel=0.02)
    assert abs(whole.influence.sum()) < 1e-9 * np.abs(whole.influence).sum()


def test_rows_of_one_clip_are_not_independent() -> None:
    """The same rows five times over are five times the rows and no more information."""
    values, other = rows(200, 6), gaussian(rows(900, 6, seed=1))
    once = fad(one_a_clip(values), other)
    fivefold = fad(sample([np.repeat(v[None], 5, 0) for v in values]), other)
    assert once.se is not None and fivefold.se == pytest.approx(once.se, rel=0.02)
    naive = fad(one_a_clip(np.repeat(values, 5, 0)), other)
    assert naive.se is not None and naive.se < 0.6 * once.se


def test_clips_of_many_rows_and_of_one_agree() -> None:
    values = rows(120, 6)
    grouped = Sample(values, np.repeat(np.arange(40), 3))
    per_clip = clip_influence(grouped, gaussian(values), gaussian(rows(90, 6, seed=2)))
    single = clip_influence(one_a_clip(values), gaussian(values), gaussian(rows(90, 6, seed=2)))
    np.testing.assert_allclose(per_clip, single.reshape(40, 3).sum(1) / 3, atol=1e-12)


def test_too_few_clips_have_a_value_and_no_interval() -> None:
    found = fad(one_a_clip(rows(30, 24)), one_a_clip(rows(500, 24, seed=1)))
    assert found.value > 0 and found.low is None and "full rank" in found.why


def test_fad_inf_is_nearer_to_the_truth_than_the_plain_value() -> None:
    rng = np.random.default_rng(0)
    truth = 0.5
    errors = []
    for _ in range(8):
        values = rng.standard_normal((800, 32))
        values[:, 0] += np.sqrt(truth)
        reference = from_moments(10**6, np.zeros(32), np.eye(32))
        found = fad_inf(one_a_clip(values), reference)
        plain = frechet_distance(reference, gaussian(values))
        errors.append((abs(found.value - truth), abs(plain - truth), found.r2))
    inf, plain_error, r2 = np.mean(errors, 0)
    assert inf < 0.4 * plain_error and r2 > 0.9
    with pytest.raises(MetricError, match="needs more than"):
        fad_inf(one_a_clip(rows(60, 32)), gaussian(rows(900, 32, seed=1)))
