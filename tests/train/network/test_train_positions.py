"""Positions: laws of the rotation, on each axis, and the fixed sines."""

import math

import pytest
import torch
from torch.nn import functional as F

from qamdt.train.network.config import ModelConfig
from qamdt.train.network.positions import (
    grid_positions,
    rotary_angles,
    rotary_table,
    rotate,
    sincos_table,
)

D = 16
CONFIG = ModelConfig(width=32, heads=2, frames=40, bands=6, patch_frames=4, patch_bands=1)


def table_of(positions: torch.Tensor) -> torch.Tensor:
    angles = rotary_angles(positions, D, 10000.0)
    return torch.stack([angles.cos(), angles.sin()])[:, None]  # [2, 1, N, d/2], float64


def some(n: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(1, n, 2, D, dtype=torch.float64, generator=g)


def test_rotation_commutes_with_choosing() -> None:
    """rope(x)[ids] = rope(x[ids], positions[ids])."""
    positions = grid_positions(CONFIG.grid)
    x, ids = some(len(positions)), torch.tensor([3, 17, 4, 59])
    chosen = rotate(x[:, ids], None, table_of(positions[ids]))
    torch.testing.assert_close(rotate(x, None, table_of(positions))[:, ids], chosen)


@pytest.mark.parametrize("shift", [(5, 0), (0, 7), (3, 2)])
def test_scores_depend_on_differences(shift: tuple[int, int]) -> None:
    """q.k of two places is that of both places moved, along either axis and along both."""
    q, k = some(1), some(1, 1)
    here, there = torch.tensor([[4, 1]]), torch.tensor([[9, 3]])
    move = torch.tensor([shift])

    def score(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (rotate(q, None, table_of(a)) * rotate(k, None, table_of(b))).sum(-1)

    torch.testing.assert_close(score(here, there), score(here + move, there + move))
    assert not torch.allclose(score(here, there), score(here, there + move))


def test_axes_are_independent() -> None:
    """Half of the pairs know time alone, the other half frequency alone."""
    time, band = rotary_angles(torch.tensor([[3, 5]]), D, 100.0)[0].chunk(2)
    moved_time, same_band = rotary_angles(torch.tensor([[4, 5]]), D, 100.0)[0].chunk(2)
    assert torch.equal(band, same_band) and not torch.equal(time, moved_time)
    speeds = [100 ** (-2 * i / (D / 2)) for i in range(D // 4)]  # RoFormer, d/2 dimensions an axis
    torch.testing.assert_close(time, torch.tensor([3 * s for s in speeds], dtype=torch.float64))
    torch.testing.assert_close(band, torch.tensor([5 * s for s in speeds], dtype=torch.float64))


def test_the_quality_token_does_not_turn() -> None:
    """Row 0 of the table is the angle 0; the others are those of the grid."""
    table = rotary_table(CONFIG)
    assert table.shape == (2, 1 + CONFIG.patches, CONFIG.head_width // 2)
    assert (table[0, 0] == 1).all() and (table[1, 0] == 0).all()
    x = torch.randn(2, 1 + CONFIG.patches, 2, 16)
    rotated = rotate(x, None, table[:, None])
    assert torch.equal(rotated[:, 0], x[:, 0]) and not torch.allclose(rotated[:, 2], x[:, 2])
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))


def test_turn_and_its_gradient_are_those_of_the_formula() -> None:
    """RMS norm, then the rotation of every pair (i, i + d/2), against PyTorch's own gradient."""
    x = some(7).requires_grad_()
    scale = torch.rand(D, dtype=torch.float64, requires_grad=True)
    table = table_of(torch.arange(14).view(7, 2))
    a, b = F.rms_norm(x, (D,), scale, 1e-6).chunk(2, -1)
    cos, sin = table[:, :, :, None]
    want = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    torch.testing.assert_close(rotate(x, scale, table), want)
    assert torch.autograd.gradcheck(lambda *given: rotate(*given, table), (x, scale))
    assert torch.autograd.gradcheck(lambda given: rotate(given, None, table), (x,))
    assert torch.autograd.gradcheck(lambda *given: rotate(*given, None), (x, scale))


def test_sincos_is_the_stretched_grid() -> None:
    """Hand values: place (time 3, band 2) of 10 x 6 is at 3 x 20/10 and 2 x 20/6; frequency first."""
    table = sincos_table(CONFIG)
    assert table.shape == (60, 32)
    row = table[3 * 6 + 2]
    for half, angle in ((0, 2 * 20 / 6), (16, 3 * 20 / 10)):
        for i in range(8):
            speed = 10000 ** (-i / 8)
            assert row[half + i] == pytest.approx(math.sin(angle * speed), abs=1e-6)
            assert row[half + 8 + i] == pytest.approx(math.cos(angle * speed), abs=1e-6)
