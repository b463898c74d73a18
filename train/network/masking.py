"""Which patches are masked: floor(gamma P) of them, at random, for each sample its own.

Masked means hidden from the encoder (paper, section 3.3: m = 1); it is a matter of training alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...schemas.errors import ConfigError


class Mask(NamedTuple):
    """K = P - floor(gamma P) patches stay.

    keep    int64 [B, K]  the visible patches, ascending
    order   int64 [B, P]  the visible patches, then the masked ones, each ascending
    restore int64 [B, P]  the inverse of order: order.gather(1, restore) = 0 .. P - 1
    hidden  bool  [B, P]  True = masked
    """

    keep: Tensor
    order: Tensor
    restore: Tensor
    hidden: Tensor

    def to(self, device: torch.device | str) -> Mask:
        return Mask(*(tensor.to(device, non_blocking=True) for tensor in self))


def masked_count(patches: int, gamma: float) -> int:
    """floor(gamma P), of the decimal number: 0.29 x 100 is 29. Raises ConfigError outside 0 .. 1."""
    if not 0 <= gamma < 1:
        raise ConfigError(
            f"gamma = {gamma!r}: expected 0 <= gamma < 1, the share of masked patches"
        )
    return math.floor(round(gamma * patches, 9))


def draw_mask(batch: int, patches: int, gamma: float, generator: torch.Generator) -> Mask:
    """Masks for a batch, on the generator's device: floor(gamma P) masked in each sample."""
    noise = torch.rand(batch, patches, generator=generator, device=generator.device)
    return mask_of(noise, gamma)


def mask_of(noise: Tensor, gamma: float) -> Mask:
    """The mask that hides the floor(gamma P) patches of largest `noise` [B, P] in each sample.

    With noise drawn sample by sample a mask does not depend on the batch that it is in.
    """
    batch, patches = noise.shape
    masked = masked_count(patches, gamma)
    hidden = torch.zeros(batch, patches, dtype=torch.bool, device=noise.device)
    hidden.scatter_(1, noise.argsort(1, descending=True)[:, :masked], True)
    order = hidden.to(torch.uint8).argsort(dim=1, stable=True)
    return Mask(order[:, : patches - masked], order, order.argsort(1), hidden)
