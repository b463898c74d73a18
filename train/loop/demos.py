"""Demos: the same prompts and seeds at several quality levels, from the mean of the weights.

RUN/demos/step-00010000.safetensors    latents [n, C, T, F] as the codec made them (not scaled),
                                       and in the header the prompt, level and seed of each
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from ...pipeline.dataset import write_atomically
from ..data.text_states import NULL_TEXT, StoredText, padded
from ..diffusion.config import SampleConfig
from ..diffusion.objective import Objective
from ..diffusion.solvers import sample
from ..network.model import QAMDT


def fitting(config: SampleConfig, objective: Objective) -> SampleConfig:
    """The configuration with a solver that fits: flow has euler, and euler is flow's alone."""
    if objective.is_flow == (config.solver == "euler"):
        return config
    return dataclasses.replace(config, solver="euler" if objective.is_flow else "ddim")


def generate(
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

    negative: the prompt of guidance's second answer. Raises StoreError for a prompt without stored
    states.
    """
    text, text_mask = (part.to(device) for part in padded([texts.states(p) for p in prompts]))
    null, null_mask = (part.to(device) for part in padded([texts.states(negative)]))
    quality = torch.tensor(levels, dtype=torch.float32, device=device)
    made = sample(
        network, objective, text, text_mask, quality, fitting(config, objective), seeds, null,
        null_mask, low_quality,
    )  # fmt: skip
    return made.float().cpu()


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
    made = [
        {"prompt": p, "quality": q, "seed": s}
        for p, q, s in zip(prompts, levels, seeds, strict=True)
    ]
    metadata = {"made": made, "scale": scale, **about}
    header = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, save({"latents": (latents / scale).contiguous()}, header))
