"""The order of clips: nothing twice in an epoch, nothing lost, and continued exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.schemas.errors import ConfigError
from qamdt.train.config import DataConfig
from qamdt.train.data.order import DataOrder, epoch_order, expected_counts


@given(st.integers(1, 50), st.integers(0, 5), st.integers(0, 3))
def test_every_clip_comes_once_an_epoch_and_epochs_differ(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(np.ones(n), seed, epoch)
    assert sorted(order) == list(range(n))
    if n > 10:
        assert not np.array_equal(order, epoch_order(np.ones(n), seed, epoch + 1))


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 12), st.integers(1, 12))
def test_a_state_continues_the_order_wherever_it_is_taken(
    n: int, count: int, before: int, after: int
) -> None:
    whole = DataOrder(np.ones(n), 7, count)
    for _ in range(before):
        whole.take()
    state = whole.state()
    resumed = DataOrder(np.ones(n), 7, count)
    resumed.load_state(state)
    for _ in range(after):
        np.testing.assert_array_equal(whole.take(), resumed.take())
    assert whole.state() == resumed.state()


@given(st.integers(1, 20), st.integers(1, 20))
def test_steps_run_through_the_epochs_without_a_gap(n: int, count: int) -> None:
    sampler = DataOrder(np.ones(n), 0, count)
    steps = np.concatenate([sampler.take() for _ in range(3 * n)])
    orders = np.concatenate([epoch_order(np.ones(n), 0, e) for e in range(3 * count)])
    np.testing.assert_array_equal(steps, orders)


@given(st.lists(st.floats(0.01, 3), min_size=1, max_size=20), st.integers(0, 20))
def test_draws_of_an_epoch_are_floor_or_ceiling_of_the_expected(
    expected: list[float], epoch: int
) -> None:
    wanted = np.array(expected)
    times = np.bincount(epoch_order(wanted, 3, epoch), minlength=len(wanted))
    assert (np.abs(times - wanted) < 1 + 1e-6).all()


def test_draws_have_the_expected_mean() -> None:
    wanted = np.array([0.1, 0.5, 1.0, 1.7])
    times = sum(np.bincount(epoch_order(wanted, 0, e), minlength=4) for e in range(4000)) / 4000
    assert np.abs(times - wanted).max() < 3 * 0.5 / 4000**0.5


def test_balanced_draws_every_level_alike() -> None:
    levels = np.array([1] * 2 + [3] * 50 + [5] * 8)
    expected = expected_counts(DataConfig(quality_sampling="balanced"), levels, np.full(60, np.nan))
    for level in (1, 3, 5):
        assert expected[levels == level].sum() == pytest.approx(20)
    order = np.concatenate([epoch_order(expected, 0, e) for e in range(20)])
    shares = np.bincount(levels[order])[[1, 3, 5]] / len(order)
    assert np.abs(shares - 1 / 3).max() < 0.02


def test_exp_prefers_each_clip_by_its_own_score() -> None:
    data = DataConfig(quality_sampling="exp", exp_rate=5.0, exp_full=1.0)
    pmos = np.array([3.6, 3.7, 3.8, 3.9, 4.0])
    expected = expected_counts(data, np.full(5, 3), pmos)
    assert expected.max() == 1.0
    full = pmos.mean() + pmos.std()
    below = pmos < full
    ratio = expected[below] / np.exp(5 * (pmos[below] - full))
    np.testing.assert_allclose(ratio, 1.0)  # p = min(1, exp(rate (s - full)))
    # however low all scores are, an epoch is never empty
    assert len(epoch_order(expected_counts(data, np.full(2, 1), np.array([1.0, 1.1])), 0, 0)) >= 1


def test_what_cannot_be_continued_or_weighed_is_refused() -> None:
    state = DataOrder(np.ones(10), 0, 8).state()
    for other, name in (
        (DataOrder(np.ones(10), 0, 16), "count"),  # twice the processes, say
        (DataOrder(np.ones(10), 1, 8), "seed"),
        (DataOrder(np.ones(11), 0, 8), "clips"),
    ):
        with pytest.raises(ConfigError, match=name):
            other.load_state(state)
    with pytest.raises(ConfigError, match="p-MOS"):
        expected_counts(DataConfig(quality_sampling="exp"), np.array([3]), np.array([np.nan]))
    with pytest.raises(ConfigError, match="level"):
        expected_counts(DataConfig(quality_sampling="balanced"), np.array([0]), np.array([3.0]))
    with pytest.raises(ConfigError, match="no clip"):
        DataOrder(np.ones(0), 0, 1)
