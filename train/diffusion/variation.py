"""Variation: a clean latent is noised part of the way, and denoised under another prompt.

strength 0 gives the latent back, 1 begins from noise alone. The steps are those that a whole
generation would take from there on: DDIM (arXiv 2010.02502, eq. 12, eta 0) for eps, v and x0, Euler for
flow, whatever the configured solver (SDEdit, arXiv 2108.01073).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ...schemas.settings import between
from .config import STEPS, SampleConfig
from .guidance import Denoiser
from .objective import Objective, alpha_bars
from .solvers import Noise, ddim_times


def vary(
    denoise: Denoiser, clean: Tensor, noise: Noise, objective: Objective, config: SampleConfig,
    strength: float,
) -> Tensor:  # fmt: skip
    """Latents [B, C, T, F] like `clean` (scaled as in training). Raises ConfigError."""
    between("strength", strength, 0.0, 1.0)
    steps = round(config.steps * strength)
    if steps == 0:
        return clean
    drawn = noise.draw()
    if objective.is_flow:
        sigmas = torch.linspace(1, 0, config.steps + 1)[-steps - 1 :].tolist()
        x = objective.noised(clean, drawn, _times(clean, sigmas[0] * STEPS))
        for now, then in pairwise(sigmas):
            x = x + (then - now) * denoise(x, _times(x, now * STEPS)).float()
        return x
    bars, times = alpha_bars(), ddim_times(config.steps)[-steps:]
    x = objective.noised(clean, drawn, _times(clean, times[0]))
    for time, after in zip(times, [*times[1:], 0], strict=True):
        t = _times(x, time)
        output, then = denoise(x, t).float(), float(bars[after])
        made, eps = objective.to_clean(output, x, t), objective.to_noise(output, x, t)
        x = then**0.5 * made + (1 - then) ** 0.5 * eps
    return x


def _times(like: Tensor, t: float) -> Tensor:
    return torch.full((len(like),), float(t), device=like.device)
