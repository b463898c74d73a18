"""reports/statistics.py: intervals hold their share, and every formula against another of its kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.reports.statistics import (
    Z95,
    bootstrap,
    group_counts,
    holm,
    mean_of,
    paired,
    percentile_interval,
    share,
)
from qamdt.schemas.errors import MetricError


def normal(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim))


def test_mean_interval_holds_95_of_100() -> None:
    found = [mean_of(normal(12, 1, s)[:, 0]) for s in range(800)]
    share = np.mean(
        [m.low <= 0 <= m.high for m in found if m.low is not None and m.high is not None]
    )
    assert 0.92 < share < 0.975
    assert mean_of(np.array([2.0])).low is None
    with pytest.raises(MetricError):
        mean_of(np.array([]))


def test_paired_finds_a_small_shift_that_is_common() -> None:
    a = normal(50, 1)[:, 0] * 10
    b = a + 0.3 + 0.1 * normal(50, 1, 1)[:, 0]
    found = paired(a, b)
    assert found.p_t < 1e-6 and found.p_wilcoxon < 1e-6 and found.low < 0.3 < found.high
    same = paired(a, a)
    assert same.p_t == same.p_wilcoxon == 1 and same.difference == 0
    with pytest.raises(MetricError):
        paired(a, b[:-1])


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.9, "b": 0.8})["a"] == 1


@pytest.mark.parametrize(("hits", "n"), [(0, 4), (4, 4), (3, 7), (50, 100)])
def test_a_share_lies_within_its_interval_and_mirrors(hits: int, n: int) -> None:
    found, other = share(hits, n), share(n - hits, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - other.high)


def test_wilson_as_published_and_impossible_shares() -> None:
    assert share(0, 10).high == pytest.approx(0.2775, abs=1e-3)
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="expected"):
            share(hits, n)


@given(st.integers(1, 400), st.floats(0, 1))
def test_wilsons_formula(n: int, part: float) -> None:
    """The roots of (p - x)^2 = z^2 x (1 - x) / n."""
    hits = round(part * n)
    estimate = share(hits, n)
    for x in (estimate.low, estimate.high):
        assert (hits / n - x) ** 2 == pytest.approx(Z95**2 * x * (1 - x) / n, abs=1e-12)


def test_bootstrap_of_a_mean_is_as_wide_as_theory() -> None:
    values = normal(200, 1)[:, 0]
    low, high = bootstrap(lambda drawn: float(values[drawn].mean()), 200, 2000)
    se = values.std() / math.sqrt(200)
    assert low < values.mean() < high and (high - low) / (2 * Z95 * se) == pytest.approx(1, abs=0.1)
    again = bootstrap(lambda drawn: float(values[drawn].mean()), 200, 2000)
    other = bootstrap(lambda drawn: float(values[drawn].mean()), 200, 2000, seed=1)
    assert np.array_equal(again, [low, high]) and not np.array_equal(other, again)


def test_few_groups_are_measured_once_a_draw_and_count_as_often_as_they_came() -> None:
    values, calls = np.array([0.0, 1.0, 5.0]), []

    def measure(drawn: np.ndarray) -> np.ndarray:
        calls.append(tuple(drawn))
        return np.array([values[drawn].mean(), values[drawn].max()])

    bounds = bootstrap(measure, 3, 1000)
    assert len(calls) == len(set(calls)) == 10  # multisets of 3 out of 3
    draws = np.random.default_rng(0).integers(0, 3, (1000, 3))
    every = np.stack([values[draws].mean(1), values[draws].max(1)], 1)
    np.testing.assert_allclose(bounds, np.quantile(every, [0.025, 0.975], axis=0), rtol=1e-12)


def test_what_cannot_be_measured_is_left_out() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0])
    assert percentile_interval(values) == pytest.approx([1.05, 2.95])
    assert np.isnan(percentile_interval(np.full((4, 2), np.nan))).all()
    assert percentile_interval(np.stack([values, values + 1], 1))[:, 1] == pytest.approx(
        [2.05, 3.95]
    )


def test_groups_are_drawn_as_often_as_there_are() -> None:
    counts = group_counts(np.random.default_rng(0), 7, 500)
    assert counts.shape == (500, 7) and (counts.sum(1) == 7).all()
    assert counts.mean(0) == pytest.approx(np.ones(7), abs=0.2)
