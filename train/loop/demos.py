"""Demos: the same prompts and seeds at several quality levels, from the EMA weights.

RUN/demos/step-00010000.safetensors    latents [n, C, T, F] as the codec made them (not scaled),
                                       and in the header the prompt, level and seed of each
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from ...pipeline.dataset import write_atomically
from ..data.text_states import NULL_TEXT, StoredText, padded
from ..diffusion.config import SampleConfig
from ..diffusion.objective import Objective
from ..diffusion.solvers import sample, with_fitting_solver
from ..network.model import QAMDT


def sample_prompts(
    network: QAMDT,
    objective: Objective,
    texts: StoredText,
    prompts: Sequence[str],
    levels: Sequence[float],
    seeds: Sequence[int],
    config: SampleConfig,
    device: torch.device,
    negative: str = NULL_TEXT,
    low_quality: float = 1.0,
) -> torch.Tensor:
    """float32 [n, C, T, F] on the CPU, a latent for each prompt, level and seed, as trained (scaled).

    negative: the prompt of guidance's second prediction. Raises StoreError for a prompt without stored
    states.
    """
    text, text_mask = (part.to(device) for part in padded([texts.states(p) for p in prompts]))
    null, null_mask = (part.to(device) for part in padded([texts.states(negative)]))
    quality = torch.tensor(levels, dtype=torch.float32, device=device)
    latents = sample(
        network, objective, text, text_mask, quality, with_fitting_solver(config, objective),
        seeds, null, null_mask, low_quality,
    )  # fmt: skip
    return latents.float().cpu()


def write_latents(
    path: Path,
    latents: torch.Tensor,
    prompts: Sequence[str],
    levels: Sequence[float],
    seeds: Sequence[int],
    scale: float,
    **about: object,
) -> None:
    """Generated latents [n, C, T, F] divided by the set's scale, and what each one is."""
    each = [
        {"prompt": p, "quality": q, "seed": s}
        for p, q, s in zip(prompts, levels, seeds, strict=True)
    ]
    content = {"made": each, "scale": scale, **about}
    header = {key: json.dumps(value) for key, value in content.items()}
    write_atomically(path, save({"latents": (latents / scale).contiguous()}, header))
