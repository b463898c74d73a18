"""Longer than one window: the network is given overlapping windows of one long latent at every step.

At each step the predictions of all windows are joined by a weighted mean whose weights fade over the
overlap, so that neighbours agree long before the noise is gone (MultiDiffusion, arXiv 2302.08113). The
solver knows nothing of it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...schemas.errors import ConfigError


def window_starts(frames: int, window: int, overlap: float) -> list[int]:
    """First frames of the windows, evenly spread, that cover `frames` with at least that overlap.

    overlap: share of a window, 0 to below 1. Raises ConfigError.
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap = {overlap!r}: expected 0 to below 1")
    if frames <= window:
        return [0]
    hop = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((frames - window) / hop) + 1
    return [round(k * (frames - window) / (count - 1)) for k in range(count)]


class Windowed(nn.Module):
    """The network on latents [B, C, L, F] of any L from its own number of frames on."""

    def __init__(self, network: nn.Module, window: int, overlap: float) -> None:
        super().__init__()
        self.network, self.window, self.overlap = network, window, overlap

    def forward(
        self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor, quality: Tensor
    ) -> Tensor:
        """As the network's, for the whole length. Raises ConfigError where L is below a window."""
        frames = latents.shape[2]
        if frames < self.window:
            raise ConfigError(f"a latent of {frames} frames: expected at least {self.window}")
        starts = window_starts(frames, self.window, self.overlap)
        total, weights = torch.zeros_like(latents), latents.new_zeros(frames)
        for start in starts:
            part = slice(start, start + self.window)
            fade = self._fade(first=start == 0, last=start == starts[-1]).to(latents)
            output = self.network(latents[:, :, part], t, text, text_mask, quality)
            total[:, :, part] += output * fade[:, None]
            weights[part] += fade
        return total / weights[:, None]

    def _fade(self, first: bool, last: bool) -> Tensor:
        """Weights [window]: 1, falling towards ends that have a neighbour."""
        length = max(1, round(self.window * self.overlap))
        ramp = (torch.arange(length) + 0.5) / length
        fade = torch.ones(self.window)
        if not first:
            fade[:length] = ramp
        if not last:
            fade[-length:] *= ramp.flip(0)
        return fade
