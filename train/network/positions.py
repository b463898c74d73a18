"""Where a patch is: rotary angles of two axes (the paper), or fixed sines added once (released code)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import ModelConfig

SINCOS_BASE = 10000.0


def grid_positions(grid: tuple[int, int]) -> Tensor:
    """(time, frequency) of every patch, int64 [P, 2], in the order of the patches."""
    time, band = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.stack([time.flatten(), band.flatten()], 1)


def rotary_angles(positions: Tensor, head_width: int, base: float) -> Tensor:
    """The angle of every pair of a head, [P, d/2], for positions [P, 2].

    RoFormer (arXiv 2104.09864, eq. 15) on each axis alone: of the d/2 pairs the first half is
    rotated by time, the second by frequency, pair i of an axis by position x base^(-2i / (d/2)).
    """
    pairs = head_width // 4  # of one axis
    steps = torch.arange(pairs, dtype=torch.float64) * 2 / (head_width // 2)
    frequencies = base**-steps
    return (positions.double()[:, :, None] * frequencies).flatten(1)


def rotary_table(config: ModelConfig) -> Tensor:
    """cos and sin, float32 [2, 1 + P, d/2]. Row 0 is the quality token's, which is not rotated."""
    angles = rotary_angles(grid_positions(config.grid), config.head_width, config.rope_base)
    angles = torch.cat([torch.zeros_like(angles[:1]), angles])
    return torch.stack([angles.cos(), angles.sin()]).float()


class _Rotation(torch.autograd.Function):
    """RMS norm with a scale, then rotation, in few passes over x; forward keeps x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, rotary: Tensor | None, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, scale, rotary)
        ctx.eps = eps
        out, half = torch.empty_like(x), x.shape[-1] // 2
        cos, sin = _tables(x, rotary)
        w = torch.ones_like(x[0, 0, 0]) if scale is None else scale.to(x.dtype)
        (a, b), (first, second) = x.chunk(2, -1), out.chunk(2, -1)
        torch.mul(a, cos * w[:half], out=first).addcmul_(b, sin * w[half:], value=-1)
        torch.mul(b, cos * w[half:], out=second).addcmul_(a, sin * w[:half])
        return out if scale is None else out.mul_(_rms(x, eps))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, rotary = ctx.saved_tensors
        back, (c, d) = torch.empty_like(grad), grad.chunk(2, -1)
        cos, sin = _tables(x, rotary)
        first, second = back.chunk(2, -1)
        torch.mul(c, cos, out=first).addcmul_(d, sin)
        torch.mul(d, cos, out=second).addcmul_(c, sin, value=-1)
        if scale is None:
            return back, None, None, None
        rms = _rms(x, ctx.eps)
        normal = x * rms
        both = back * normal
        d_scale = both.sum((0, 1, 2)).to(scale.dtype)
        w = scale.to(x.dtype)
        mean = (both @ w)[..., None] / x.shape[-1]
        return back.mul_(w).addcmul_(normal, mean, value=-1).mul_(rms), d_scale, None, None


def _rms(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean of squares + eps) over the last axis."""
    return (x.square().mean(-1, keepdim=True) + eps).rsqrt()


def _tables(x: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor]:
    """cos and sin that fit halves of x [B, N, H, d]; without rotary an angle of 0."""
    if rotary is None:
        one = x.new_ones(1)
        return one, torch.zeros_like(one)
    cos, sin = rotary[:, :, :, None].to(x.dtype).unbind()
    return cos, sin


def rotate(x: Tensor, scale: Tensor | None, rotary: Tensor | None, eps: float = 1e-6) -> Tensor:
    """Queries or keys [B, N, H, d], RMS-normalised if there is a scale [d], rotated if there are angles.

    Pair (i, i + d/2) is rotated by its angle in rotary [2, B or 1, N, d/2]: (a cos - b sin, b cos +
    a sin).
    """
    if not torch.compiler.is_compiling():
        return _Rotation.apply(x, scale, rotary, eps)
    if scale is not None:
        x = F.rms_norm(x, x.shape[-1:], scale, eps)
    cos, sin = _tables(x, rotary)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def sincos_table(config: ModelConfig) -> Tensor:
    """Fixed positions, float32 [P, D]: the first half of D by frequency, the second by time.

    As released: both axes are stretched to 0 .. 2 floor(T / p_l), each half is [sines, cosines].
    """
    time, band = grid_positions(config.grid).double().unbind(1)
    span = config.frames // config.patch_frames * 2
    frequencies = SINCOS_BASE ** -(
        torch.arange(config.width // 4, dtype=torch.float64) / (config.width // 4)
    )
    halves = []
    for place, count in ((band, config.grid[1]), (time, config.grid[0])):
        angles = (place * span / count)[:, None] * frequencies
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, 1).float()
