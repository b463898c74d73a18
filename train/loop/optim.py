"""AdamW and its learning rate: decay on matrices alone, linear warm-up, then constant or cosine.

The released code decays every weight and holds the rate constant at 8e-5 after 2000 steps.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from ..config import OptimConfig


def optimizer_of(network: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over all parameters; vectors (biases, norms, the mask token) are not decayed."""
    weights = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1.0, betas=(config.beta1, config.beta2))


def rate_at(config: OptimConfig, width: int, step: int, steps: int) -> float:
    """The learning rate of `step` (from 0) of `steps`."""
    rate = config.rate(width)
    if step < config.warmup:
        return rate * (step + 1) / config.warmup
    if config.schedule == "cosine":
        share = (step - config.warmup) / max(1, steps - config.warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
