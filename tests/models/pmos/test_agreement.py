"""Measures of a scorer: known answers, laws, and intervals that resample groups."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.models.pmos.agreement import (
    MEASURES,
    calibration,
    interval,
    kendall,
    pearson,
    rmse,
    spearman,
)

STEPS = st.lists(
    st.tuples(st.integers(2, 10), st.integers(2, 10), st.integers(0, 2)), min_size=2, max_size=24
)


def table(mos: list[float], score: list[float], **more: list) -> pd.DataFrame:
    return pd.DataFrame({"mos": mos, "score": score, **more})


def test_known_answers() -> None:
    """Perfect, opposite, shifted, and one worked by hand."""
    line = table([1, 2, 3, 4], [1, 2, 3, 4])
    assert [m(line) for m in (pearson, spearman, kendall, rmse)] == pytest.approx([1, 1, 1, 0])
    rotated = line.assign(score=-line["score"])
    assert [m(rotated) for m in (pearson, spearman, kendall)] == pytest.approx([-1, -1, -1])
    assert rmse(line.assign(score=line["score"] + 0.5)) == pytest.approx(0.5)
    by_hand = table([1, 2, 3], [2, 1, 1])
    assert spearman(by_hand) == pytest.approx(-math.sqrt(3) / 2)


@given(STEPS)
def test_order_of_rows_and_scale_do_not_matter(rows: list[tuple[int, int, int]]) -> None:
    """Rank measures keep their value under any growing map of the scores; all under shuffling."""
    t = table([float(a) for a, _, _ in rows], [float(b) for _, b, _ in rows])
    mixed = t.sample(frac=1, random_state=0)
    for measure in MEASURES.values():
        assert measure(mixed) == pytest.approx(measure(t), nan_ok=True)
    bent = t.assign(score=np.exp(t["score"]))
    for measure in (spearman, kendall):
        assert measure(bent) == pytest.approx(measure(t), nan_ok=True)


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall"])
def test_what_cannot_be_told_is_nan(name: str) -> None:
    """No rows, one row, labels or scores all alike: NaN, without a warning."""
    for t in (table([], []), table([3.0], [2.0]), table([3, 3], [1, 2]), table([1, 2], [3, 3])):
        assert math.isnan(MEASURES[name](t))
    assert math.isnan(rmse(table([], [])))


def noisy(groups: int, rows: int, seed: int) -> pd.DataFrame:
    """Labels and scores whose error is one number a group: rows of a group tell nothing new."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rows)
    mos = rng.uniform(1, 5, groups)[group]
    return pd.DataFrame({"mos": mos, "score": mos + rng.normal(0, 1, groups)[group], "g": group})


def test_intervals_resample_groups() -> None:
    """Repeating each row eight times within its group leaves the interval where it was."""
    once, eight = noisy(20, 1, 3), noisy(20, 8, 3)
    assert interval(once, pearson, "g") == pytest.approx(interval(eight, pearson, "g"))
    naive = interval(eight.assign(g=range(len(eight))), pearson, "g")
    value, low, high = interval(eight, pearson, "g")
    assert low < value < high and high - low > 2 * (naive[2] - naive[1])


def test_intervals_hold_what_they_promise() -> None:
    """Over 40 sets of 30 groups the true error of 1 MOS lies inside in most (nominally 95%)."""
    inside = 0
    for seed in range(40):
        _, low, high = interval(noisy(30, 2, seed), rmse, "g", tries=100)
        inside += low <= 1.0 <= high
    assert inside >= 33


def test_intervals_are_repeatable_and_honest_about_one_group() -> None:
    """Same seed, same interval; with one group no interval; a wrong column is refused."""
    t = noisy(10, 2, 0)
    assert interval(t, rmse, "g", seed=5) == interval(t, rmse, "g", seed=5)
    value, low, high = interval(t.assign(g="one"), rmse, "g")
    assert value == rmse(t) and math.isnan(low) and math.isnan(high)
    assert all(math.isnan(x) for x in interval(t.head(0), rmse, "g"))
    with pytest.raises(ValueError, match="'album'"):
        interval(t, rmse, "album")


def test_calibration_holds_every_row_once() -> None:
    """Counts add up, scores outside 1..5 fall into the end bins, means are of the bin's rows."""
    t = table([1.0, 2.0, 4.0, 4.4, 5.0], [0.2, 2.1, 4.1, 4.3, 6.0])
    made = calibration(t)
    assert made["n"].sum() == len(t)
    assert made["from_"].tolist() == [1.0, 2.0, 4.0, 4.5]
    assert made["mos"].tolist() == pytest.approx([1.0, 2.0, 4.2, 5.0])
    assert made["score"].tolist() == pytest.approx([0.2, 2.1, 4.2, 6.0])
    assert made["spread"].tolist() == pytest.approx([0, 0, 0.2, 0])
    assert calibration(t.head(0)).empty
