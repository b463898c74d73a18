"""Masks: counts, inverse orders, and independence of the batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qamdt.schemas.errors import ConfigError
from qamdt.train.network.masking import draw_mask, mask_of, masked_count


@given(st.integers(1, 4), st.integers(1, 70), st.integers(0, 99), st.integers(0, 9))
def test_a_mask_is_consistent(batch: int, patches: int, percent: int, seed: int) -> None:
    """floor(gamma P) hidden; keep are the visible ones; restore undoes order."""
    g = torch.Generator().manual_seed(seed)
    mask = draw_mask(batch, patches, percent / 100, g)
    masked = percent * patches // 100
    assert mask.hidden.sum(1).tolist() == [masked] * batch
    assert mask.keep.shape == (batch, patches - masked)
    numbers = torch.arange(patches).expand(batch, -1)
    assert torch.equal(mask.order.gather(1, mask.restore), numbers)
    assert torch.equal(mask.order[:, : patches - masked], mask.keep)
    assert not mask.hidden.gather(1, mask.keep).any()
    x = torch.randn(batch, patches)
    assert torch.equal(x.gather(1, mask.order).gather(1, mask.restore), x)


def test_floor_is_of_the_decimal_number() -> None:
    """0.29 x 100 is 28.999999999999996 in floating point, and 29 in the paper."""
    assert masked_count(100, 0.29) == 29
    assert masked_count(1024, 0.3) == 307
    assert masked_count(10, 0.0) == 0


def test_a_sample_has_its_mask_in_any_batch() -> None:
    """Samples differ; noise drawn for a sample gives its mask whatever stands beside it."""
    noise = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    whole, alone = mask_of(noise, 0.4), mask_of(noise[1:2], 0.4)
    assert torch.equal(whole.hidden[1], alone.hidden[0])
    assert not torch.equal(whole.hidden[0], whole.hidden[1])


def test_every_patch_is_masked_equally_often() -> None:
    """Within 5 sigma of gamma over 2000 draws."""
    mask = draw_mask(2000, 20, 0.3, torch.Generator().manual_seed(3))
    share = mask.hidden.float().mean(0)
    assert (share - 0.3).abs().max() < 5 * (0.3 * 0.7 / 2000) ** 0.5


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_gamma_is_checked(gamma: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 <= gamma < 1"):
        masked_count(10, gamma)
