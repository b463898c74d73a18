"""Classifier-free guidance: one batched forward for both answers, and how they are put together.

    paper    D(high, y) + w (D(high, y) - D(low, empty))       (arXiv 2405.15863, section 3.4)
    common   D(low, empty) + s (D(high, y) - D(low, empty))    s = 1 + w

The second answer's quality may be a level, or 0: not said. The empty text may be a negative prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...schemas.errors import ConfigError
from .config import FORMS

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x [B, C, T, F], t [B]) -> the network's prediction


class Condition(NamedTuple):
    """text float [B, S, E], text_mask bool [B, S] (True = a real token), quality float [B]."""

    text: Tensor
    text_mask: Tensor
    quality: Tensor


def check_text(condition: Condition) -> Condition:
    """The same condition. Raises ConfigError for a text without a single token."""
    if not bool(condition.text_mask.any(1).all()):
        raise ConfigError(
            "a text has no token: expected at least one in every row of text_mask (the empty prompt "
            "has its end token)"
        )
    return condition


def combine(conditional: Tensor, unconditional: Tensor, guidance: float, form: str) -> Tensor:
    """The guided prediction of the two, in one of FORMS. Raises ConfigError."""
    if form == "paper":
        return conditional + guidance * (conditional - unconditional)
    if form == "common":
        return unconditional + guidance * (conditional - unconditional)
    raise ConfigError(f"form = {form!r}: expected one of {', '.join(FORMS)}")


def rescaled(guided: Tensor, conditional: Tensor, share: float) -> Tensor:
    """`guided` with the deviation of `told`, mixed in by `share` 0..1 (arXiv 2305.08891, eq. 15-16)."""
    if share == 0:
        return guided
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    return share * (guided * ratio) + (1 - share) * guided


def paired(conditional: Condition, unconditional: Condition) -> Condition:
    """Both conditions as one of 2 B rows, texts padded to the longer; one row of `untold` serves all."""
    rows, length = (
        len(conditional.text),
        max(conditional.text.shape[1], unconditional.text.shape[1]),
    )
    parts = []
    for text, mask, quality in (conditional, unconditional):
        spare = length - text.shape[1]
        text, mask = F.pad(text, (0, 0, 0, spare)), F.pad(mask, (0, spare))
        parts.append((text.expand(rows, -1, -1), mask.expand(rows, -1), quality.expand(rows)))
    return Condition(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


def guided(
    model: torch.nn.Module, conditional: Condition, unconditional: Condition, *, guidance: float,
    form: str, rescale: float = 0.0, on: Callable[[float], bool] = lambda t: True,
) -> Denoiser:  # fmt: skip
    """The network under guidance where `on(t)`, and under the condition alone elsewhere.

    Where guidance would change nothing (w = 0, s = 1) the second answer is not computed.
    """
    both = paired(conditional, unconditional)
    idle = guidance == (0 if form == "paper" else 1)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        if idle or not on(float(t[0])):
            return model(x, t, *conditional)
        first, second = model(torch.cat([x, x]), torch.cat([t, t]), *both).chunk(2)
        return rescaled(combine(first, second, guidance, form), first, rescale)

    return denoise
