"""evaluate/metrics/kad.py, inception.py, clap_score.py: laws of each metric."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qamdt.evaluate.metrics.clap_score import text_match
from qamdt.evaluate.metrics.inception import inception_score, kl_per_clip, log_softmax
from qamdt.evaluate.metrics.kad import SCALE, kad, kid, median_distance, poly_kernel, squared_mmd
from qamdt.schemas.errors import MetricError

LOGITS = hnp.arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(2, 6)),
                    elements=st.floats(-50, 50))  # fmt: skip


def normal(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim))


# --- KAD and KID -------------------------------------------------------------------------------


def test_kad_by_hand() -> None:
    """All pairs in plain loops."""
    x, y = normal(7, 3), normal(5, 3, 1) + 0.5
    pairs = [np.linalg.norm(a - b) for a, b in itertools.combinations(y, 2)]
    wide = float(np.median(pairs))
    assert median_distance(y) == pytest.approx(wide, rel=1e-12)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * wide**2 + 1e-8)))

    inside = np.mean([k(a, b) for a, b in itertools.permutations(x, 2)])
    theirs = np.mean([k(a, b) for a, b in itertools.permutations(y, 2)])
    cross = np.mean([k(a, b) for a in x for b in y])
    assert kad(x, y).value == pytest.approx(SCALE * (inside + theirs - 2 * cross), rel=1e-10)


def test_kad_is_the_same_far_from_the_origin_and_turned() -> None:
    x, y = normal(60, 8), normal(50, 8, 1) * 1.2
    rotate = np.linalg.qr(normal(8, 8, 3))[0]
    plain = kad(x, y).value
    assert kad(x + 1000, y + 1000).value == pytest.approx(plain, rel=1e-7)
    assert kad(x @ rotate, y @ rotate).value == pytest.approx(plain, rel=1e-9)
    assert kad(x[::-1], y[::-1]).value == pytest.approx(plain, rel=1e-9)


def test_kad_has_no_bias_of_n() -> None:
    """Its mean over equal distributions is 0 at any n, where FAD's is not."""
    for n in (10, 40):
        found = [
            kad(normal(n, 8, 2 * s), normal(n, 8, 2 * s + 1), bandwidth=3.0) for s in range(150)
        ]
        values = np.array([k.value for k in found])
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))


def test_kad_error_bar_is_that_of_repetition() -> None:
    found = [
        kad(normal(80, 6, 2 * s) + 0.4, normal(80, 6, 2 * s + 1), bandwidth=3.0) for s in range(60)
    ]
    said = np.mean([k.se for k in found])
    assert said == pytest.approx(np.std([k.value for k in found]), rel=0.35)


def test_kad_of_clips_with_many_rows() -> None:
    x, y = normal(60, 6), normal(60, 6, 1) + 0.3
    owner = np.repeat(np.arange(60), 4)
    many = kad(np.repeat(x, 4, 0), np.repeat(y, 4, 0), (owner, owner), bandwidth=3.0)
    assert many.se == pytest.approx(kad(x, y, bandwidth=3.0).se, rel=0.1)


def test_kad_refusals() -> None:
    with pytest.raises(MetricError, match="2 rows"):
        kad(normal(1, 3), normal(9, 3))
    with pytest.raises(MetricError, match="all equal"):
        kad(normal(9, 3), np.ones((9, 3)))


def test_kid_of_whole_sets_is_the_plain_mmd() -> None:
    x, y = normal(30, 5), normal(30, 5, 1) + 1
    value, deviation = kid(x, y, subsets=3, size=30)
    assert value == pytest.approx(squared_mmd(poly_kernel, x, y), rel=1e-12)
    assert deviation == pytest.approx(0, abs=1e-12)
    with pytest.raises(MetricError, match="no larger"):
        kid(x, y, size=31)


# --- KL and IS ---------------------------------------------------------------------------------


@given(LOGITS, st.integers(0, 10**6))
def test_kl_is_never_negative_and_zero_for_equals(logits: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).permutation(logits)
    for direction in ("ref-gen", "gen-ref"):
        assert (kl_per_clip(logits, other, direction) >= 0).all()
        assert (kl_per_clip(logits, logits + 7.5, direction) <= 1e-12).all()


def test_kl_by_hand_and_its_directions() -> None:
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.2, 0.2, 0.6]])
    ours, theirs = np.log(q) + 3, np.log(p) - 2  # logits are up to a constant
    forward = float((p * np.log(p / q)).sum())
    back = float((q * np.log(q / p)).sum())
    assert kl_per_clip(ours, theirs, "ref-gen")[0] == pytest.approx(forward, rel=1e-12)
    assert kl_per_clip(ours, theirs, "gen-ref")[0] == pytest.approx(back, rel=1e-12)
    with_eps = kl_per_clip(ours, theirs, "ref-gen", 1e-6)[0]
    assert with_eps == pytest.approx(float((p * np.log(p / (q + 1e-6))).sum()), rel=1e-12)
    with pytest.raises(MetricError, match="no pairs"):
        kl_per_clip(ours, np.zeros((2, 3)))


@given(LOGITS)
def test_is_lies_between_1_and_the_number_of_classes(logits: np.ndarray) -> None:
    found = inception_score(logits)
    assert 1 - 1e-12 <= found.value <= logits.shape[1] + 1e-9
    assert found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high


def test_is_at_its_ends() -> None:
    sure = np.kron(np.eye(5), np.ones((4, 1))) * 200.0
    assert inception_score(sure).value == pytest.approx(5, rel=1e-9)
    assert inception_score(np.zeros((20, 5))).value == pytest.approx(1, rel=1e-12)


def test_is_bias_of_n_is_told() -> None:
    logits = 2 * normal(60_000, 10)
    small = [inception_score(part) for part in np.split(logits[:6000], 100)]
    large = inception_score(logits).value
    missing = large - np.mean([s.value for s in small])
    assert missing > 0
    assert np.mean([s.size_bias for s in small]) == pytest.approx(missing, rel=0.25)


def test_is_splits_by_order_and_shuffles_by_seed() -> None:
    logits = normal(53, 7) * 3
    parts = [logits[i * 53 // 4 : (i + 1) * 53 // 4] for i in range(4)]
    each = [inception_score(part).value for part in parts]
    found = inception_score(logits, 4)
    assert (found.value, found.deviation) == pytest.approx((np.mean(each), np.std(each)), rel=1e-12)
    assert found.low is None
    assert inception_score(logits, 4, shuffle=True).value != found.value
    with pytest.raises(MetricError, match="splits"):
        inception_score(logits, 54)


def test_log_softmax_of_large_logits() -> None:
    assert np.isfinite(log_softmax(np.array([[1e4, -1e4, 0.0]]))).all()


# --- CLAP score --------------------------------------------------------------------------------


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_text_match_of_a_perfect_and_of_a_shuffled_model() -> None:
    texts = unit(normal(40, 16))
    perfect = text_match(texts, texts, np.arange(40))
    assert perfect.matched.value == pytest.approx(1) and perfect.r1 == perfect.r10 == 1
    assert perfect.difference is not None and perfect.difference.value > 0.9
    deaf = text_match(np.roll(texts, 7, 0), texts, np.arange(40))
    assert deaf.r1 == 0 and abs(deaf.matched.value) < 0.2


def test_mismatched_is_the_mean_over_other_texts() -> None:
    audio, texts, owner = unit(normal(5, 4)), unit(normal(3, 4, 1)), np.array([0, 0, 1, 2, 2])
    near = audio @ texts.T
    others = [
        np.mean([near[i, owner[j]] for j in range(5) if owner[j] != owner[i]]) for i in range(5)
    ]
    found = text_match(audio, texts, owner)
    assert found.mismatched == pytest.approx(np.mean(others), rel=1e-12)
    np.testing.assert_allclose(found.per_clip, near[np.arange(5), owner])


def test_equal_texts_do_not_win_by_a_tie() -> None:
    """A blank text is all zeros: as near to nothing as to anything; it is never the nearest."""
    found = text_match(unit(normal(4, 3)), np.zeros((4, 3)), np.arange(4))
    assert found.matched.value == 0 and found.r1 == 0
    alone = text_match(unit(normal(2, 3)), unit(normal(1, 3)), np.array([0, 0]))
    assert alone.mismatched is None and alone.difference is None
