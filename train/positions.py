"""Where a patch is: rotary angles of two axes (the paper), or fixed sines added once (released code)."""

from __future__ import annotations

import torch
from torch import Tensor

from .model_config import ModelConfig

SINCOS_BASE = 10000.0


def grid_positions(grid: tuple[int, int]) -> Tensor:
    """(time, frequency) of every patch, int64 [P, 2], in the order of the patches."""
    time, band = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.stack([time.flatten(), band.flatten()], 1)


def rotary_angles(positions: Tensor, head_width: int, base: float) -> Tensor:
    """The angle of every pair of a head, [P, d/2], for positions [P, 2].

    RoFormer (arXiv 2104.09864, eq. 15) on each axis alone: of the d/2 pairs the first half turns by
    time, the second by frequency, pair i of an axis by position x base^(-2i / (d/2)).
    """
    pairs = head_width // 4  # of one axis
    steps = torch.arange(pairs, dtype=torch.float64) * 2 / (head_width // 2)
    speed = base**-steps
    return (positions.double()[:, :, None] * speed).flatten(1)


def rotary_table(config: ModelConfig) -> Tensor:
    """cos and sin, float32 [2, 1 + P, d/2]. Row 0 is the quality token's, which does not turn."""
    angles = rotary_angles(grid_positions(config.grid), config.head_width, config.rope_base)
    angles = torch.cat([torch.zeros_like(angles[:1]), angles])
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Every pair (i, i + d/2) of x [B, N, H, d] turned by the angles in rotary [2, B or 1, N, d/2]."""
    cos, sin = rotary[:, :, :, None].to(x.dtype).unbind()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def sincos_table(config: ModelConfig) -> Tensor:
    """Fixed positions, float32 [P, D]: the first half of D by frequency, the second by time.

    As released: both axes are stretched to 0 .. 2 floor(T / p_l), each half is [sines, cosines].
    """
    time, band = grid_positions(config.grid).double().unbind(1)
    span = config.frames // config.patch_frames * 2
    speed = SINCOS_BASE ** -(
        torch.arange(config.width // 4, dtype=torch.float64) / (config.width // 4)
    )
    halves = []
    for place, count in ((band, config.grid[1]), (time, config.grid[0])):
        angles = (place * span / count)[:, None] * speed
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, 1).float()
