"""A small network and inputs for the tests of the trainer's model side."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from qamdt.train.network.config import ModelConfig
from qamdt.train.network.model import QAMDT

SMALL: dict[str, Any] = {
    "width": 32, "depth": 6, "decoder_depth": 2, "heads": 2, "channels": 3, "frames": 32, "bands": 8,
    "patch_frames": 8, "patch_bands": 2, "text_width": 24,
}  # fmt: skip


class Inputs(NamedTuple):
    """What `QAMDT.forward` takes, but for the mask."""

    latents: Tensor
    t: Tensor
    text: Tensor
    text_mask: Tensor
    quality: Tensor


def network(awake: bool = True, seed: int = 0, **changes: Any) -> QAMDT:
    """A small network; awake: what is zero at the start is not."""
    torch.manual_seed(seed)
    net = QAMDT(ModelConfig(**{**SMALL, **changes}))
    if awake:
        for p in net.parameters():
            if p.dim() > 1 and not p.any():
                nn.init.normal_(p, std=0.1)
    return net


def inputs(config: ModelConfig, batch: int = 2, tokens: int = 5, seed: int = 1) -> Inputs:
    """Noise for a network; the texts of a batch have `tokens`, `tokens` - 1 .. real tokens."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.arange(tokens, tokens - batch, -1).clamp_min(1)
    return Inputs(
        torch.randn(batch, *config.shape, generator=g),
        torch.randint(0, 1000, (batch,), generator=g).float(),
        torch.randn(batch, tokens, config.text_width, generator=g),
        torch.arange(tokens) < lengths[:, None],
        torch.linspace(1.5, 5.0, batch),
    )
