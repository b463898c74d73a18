"""The quality token: one learned vector per level, any point between two of them, and none at all.

The paper (section 3.2): q_vq(s) = E(Q(s)) in R^d, with Q(s) in 1..5 (computed by
`qamdt.curate.quality.quantize`). A level of 4.5 is the middle of E(4) and E(5). The null vector
stands for "no quality given": training drops to it, so that guidance can be without quality. The
released code has no such vector.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...schemas.errors import ConfigError

LEVELS = 5  # 1..5, 5 is best


class QualityEmbedding(nn.Module):
    """`forward(quality float [B]) -> [B, D]`; 1..5, or NaN or 0 for the null vector.

    Values beyond the ends are the ends: `check_quality` is for what a user gave.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.zeros(LEVELS, width))
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, quality: Tensor) -> Tensor:
        null = quality.isnan() | (quality == 0)  # [B]
        level = quality.nan_to_num(1.0).clamp(1, LEVELS).to(self.levels.dtype)
        levels = torch.arange(1, LEVELS + 1, device=level.device, dtype=level.dtype)
        weight = (1 - (level[:, None] - levels).abs()).clamp_min(0)  # [B, 5]: linear interpolation
        weight = weight.masked_fill(null[:, None], 0)
        return weight @ self.levels + null[:, None].to(weight.dtype) * self.null


def check_quality(quality: float) -> float:
    """A level as a user gives it. Raises ConfigError unless 1..5, or 0 or NaN: none given."""
    if quality == 0 or math.isnan(quality) or 1 <= quality <= LEVELS:
        return quality
    raise ConfigError(f"quality = {quality!r}: expected 1 to 5 (5 is best), or 0 for none")
