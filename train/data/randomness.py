"""Chance, sample by sample: a function of (seed, step, place in the step) and of nothing else.

Noise, time, mask and both dropouts of a sample are drawn from a generator of its own, so that they do
not depend on how a step is cut into batches and processes, nor on what ran before: there is no state
of a random generator to save, and a resumed run draws what an uninterrupted one would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..config import Config, MaskingConfig
from ..diffusion.objective import Objective
from ..network.masking import Mask, mask_of

SAMPLE, RATIO, STEP = 1, 2, 3  # streams that do not meet


def seeded(*key: int) -> torch.Generator:
    """A generator on the CPU that depends on the numbers of `key` alone."""
    word = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(word >> 1)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch's global generator for a step: for layers that would draw by themselves."""
    torch.manual_seed(int(np.random.SeedSequence((seed, STEP, step, rank)).generate_state(1)[0]))


def masks_at(masking: MaskingConfig, step: int, steps: int) -> bool:
    """Whether `step` (from 0) of `steps` masks: the last `unmasked_share` of them do not."""
    return masking.mask_high > 0 and step < round(steps * (1 - masking.unmasked_share))


def ratio_at(masking: MaskingConfig, seed: int, step: int) -> float:
    """gamma of a step: one for all its samples, as they need equal lengths."""
    low, high = masking.mask_low, masking.mask_high
    draw = np.random.default_rng(np.random.SeedSequence((seed, RATIO, step))).random()
    return low + (high - low) * float(draw)


@dataclass(frozen=True)
class StepRandomness:
    """What chance gives one sample. noise: float32 [C, T, F]; time: [1]; mask: of one sample."""

    noise: torch.Tensor
    time: torch.Tensor
    mask: Mask | None
    drop_text: bool
    drop_quality: bool


def draw(
    config: Config, objective: Objective, step: int, place: int, similarity: float
) -> StepRandomness:
    """The chance of the sample at `place` in `step`. similarity: -1..1, NaN where unknown."""
    seed, patches = config.fit.seed, config.model.patches
    chance = seeded(seed, SAMPLE, step, place)
    text, quality = torch.rand(2, generator=chance).tolist()
    known = torch.tensor([similarity], dtype=torch.float32)
    time = objective.draw_times(1, chance, known)
    noise = torch.randn(config.model.shape, generator=chance)
    mask = None
    if masks_at(config.masking, step, config.fit.steps):
        hidden = torch.rand(1, patches, generator=chance)
        mask = mask_of(hidden, ratio_at(config.masking, seed, step))
    return StepRandomness(
        noise, time, mask, text < config.data.text_dropout, quality < config.data.quality_dropout
    )
