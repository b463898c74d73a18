"""Patches: the paper's count, and join after cut is the identity."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qamdt.schemas.errors import ConfigError
from qamdt.train.network.config import ModelConfig, patches_along
from qamdt.train.network.patches import Patches


@st.composite
def shapes(draw: st.DrawFn) -> ModelConfig:
    """Any size, patch and overlap, patches longer than the latent among them."""
    axes = {}
    for axis, longest in (("frames", 20), ("bands", 12)):
        patch = draw(st.integers(1, 7))
        axes[axis] = draw(st.integers(1, longest))
        axes[f"patch_{axis}"], axes[f"overlap_{axis}"] = patch, draw(st.integers(0, patch - 1))
    return ModelConfig(channels=draw(st.integers(1, 8)), **axes)


@given(shapes(), st.integers(1, 3))
def test_join_undoes_cut(config: ModelConfig, batch: int) -> None:
    """Exactly, with whole numbers; and there are P patches of C p_l p_f numbers."""
    patches = Patches(config)
    x = torch.randint(-99, 99, (batch, *config.shape)).float()
    cut = patches.cut(x)
    assert cut.shape == (batch, config.patches, config.patch_size)
    assert torch.equal(patches.join(cut), x)


@given(shapes())
def test_overlaps_are_averaged(config: ModelConfig) -> None:
    """A constant added to one patch comes back divided by the number of patches on each place."""
    patches = Patches(config)
    cut = torch.zeros(1, config.patches, config.patch_size)
    cut[:, 0] = 1
    ones = patches.join(torch.ones_like(cut))
    torch.testing.assert_close(ones, torch.ones_like(ones))
    joined = patches.join(cut)
    inside = joined > 0
    torch.testing.assert_close(joined[inside], 1 / patches.counts.expand_as(joined)[inside])


@given(st.integers(1, 300), st.integers(1, 20), st.data())
def test_count_is_the_papers(length: int, patch: int, data: st.DataObject) -> None:
    """ceil((L - p) / (p - o) + 1): the fewest patches that cover the axis."""
    overlap = data.draw(st.integers(0, patch - 1))
    count = patches_along(length, patch, overlap)
    if length >= patch:
        assert count == math.ceil((length - patch) / (patch - overlap) + 1)
    assert (count - 1) * (patch - overlap) + patch >= length
    assert count == 1 or (count - 2) * (patch - overlap) + patch < length


def test_the_papers_grid() -> None:
    """4 x 1 on 256 x 16: 64 x 16 = 1024 tokens; counts are a buffer and on the network's device."""
    config = ModelConfig()
    assert config.grid == (64, 16) and config.patches == 1024
    assert "counts" in dict(Patches(config).named_buffers())


def test_overlap_must_be_less_than_the_patch() -> None:
    with pytest.raises(ConfigError, match="overlap_frames = 4: expected 0 to 3"):
        ModelConfig(overlap_frames=4)
