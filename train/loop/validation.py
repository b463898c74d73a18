"""The loss at fixed t on a validation split: same clips, same noise, same t, every time.

Training losses swing with the t that were drawn; these do not, and one t can be watched by itself
(stable-audio-tools does the same). Nothing is masked or dropped: the network is measured as it is
sampled from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..data.randomness import seeded
from ..data.text_states import padded
from ..data.training_set import TrainingSet
from ..diffusion.config import STEPS
from ..diffusion.objective import Objective

VALIDATION = 5  # stream of chance


def fixed_times(count: int) -> list[int]:
    """`count` times in the middle of equal parts of 0 .. 1000: 100, 300, 500, 700, 900 for 5."""
    return [round(STEPS * (k + 0.5) / count) for k in range(count)]


@torch.no_grad()
def losses_at(
    network: torch.nn.Module,
    objective: Objective,
    folder: TrainingSet,
    clips: np.ndarray,
    times: Sequence[int],
    batch_size: int,
    seed: int,
    device: torch.device,
) -> dict[int, float]:
    """The mean loss over `clips` (indices of `folder`) at each of `times`."""
    sums = dict.fromkeys(times, 0.0)
    for at in range(0, len(clips), batch_size):
        block = [int(k) for k in clips[at : at + batch_size]]
        clean = torch.stack([folder.latent(k) for k in block]).to(device)
        noise = torch.stack(
            [torch.randn(folder.shape, generator=seeded(seed, VALIDATION, k)) for k in block]
        ).to(device)
        text, text_mask = (part.to(device) for part in padded([folder.text(k) for k in block]))
        quality = torch.tensor([folder.quality(k) for k in block], device=device)
        for time in times:
            t = torch.full((len(block),), float(time), device=device)
            output = network(objective.noised(clean, noise, t), t, text, text_mask, quality)
            sums[time] += float(objective.loss(output, clean, noise, t).sum())
    return {time: total / len(clips) for time, total in sums.items()}
