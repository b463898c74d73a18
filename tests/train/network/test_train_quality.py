"""The quality ladder: levels, places between them, none, and which vector learns."""

import math

import pytest
import torch

from qamdt.schemas.errors import ConfigError
from qamdt.train.network.quality import QualityEmbedding, check_quality


def ladder() -> QualityEmbedding:
    made = QualityEmbedding(6)
    torch.nn.init.normal_(made.levels, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(made.null, generator=torch.Generator().manual_seed(1))
    return made


def test_levels_and_between() -> None:
    """A whole level is its vector, 4.5 the middle of two, 1.25 a quarter on the way."""
    made = ladder()
    e = made.levels
    got = made(torch.tensor([1.0, 2, 3, 4, 5, 4.5, 1.25]))
    assert torch.equal(got[:5], e)
    torch.testing.assert_close(got[5], (e[3] + e[4]) / 2)
    torch.testing.assert_close(got[6], 0.75 * e[0] + 0.25 * e[1])


def test_null_and_ends() -> None:
    """0 and NaN are the null vector; beyond the ends are the ends."""
    made = ladder()
    got = made(torch.tensor([0.0, math.nan, 0.5, 7.0]))
    assert torch.equal(got[0], made.null) and torch.equal(got[1], made.null)
    assert torch.equal(got[2], made.levels[0]) and torch.equal(got[3], made.levels[4])


def test_gradient_reaches_the_used_level_alone() -> None:
    """Of level 2 and none: rows 2 and null; NaN leaves no NaN behind."""
    made = ladder()
    made(torch.tensor([2.0])).sum().backward()
    assert made.levels.grad is not None and made.null.grad is not None
    assert made.levels.grad.any(1).tolist() == [False, True, False, False, False]
    assert not made.null.grad.any()
    made.zero_grad()
    made(torch.tensor([math.nan])).sum().backward()
    assert not made.levels.grad.any() and made.null.grad.all()


def test_a_users_level_is_checked() -> None:
    for fine in (1, 4.5, 5, 0):
        assert check_quality(fine) == fine
    for wrong in (0.5, 5.1, -1, math.inf):
        with pytest.raises(ConfigError, match="expected 1 to 5"):
            check_quality(wrong)
