"""What a configuration costs, on paper: parameters, floating-point operations, memory.

A multiply-add counts as 2; products and attention count, norms and activations do not. A training step
is three forwards (the gradient of both factors of every product), the convention of MFU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .config import ModelConfig
from .masking import masked_count
from .model import QAMDT, TIME_WIDTH

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Flops:
    """Of one sample: forward, and step = 3 x forward."""

    forward: float

    @property
    def step(self) -> float:
        return 3 * self.forward


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step in float32."""

    weights: int
    gradients: int
    optimizer: int  # both moments of AdamW
    ema: int
    kept: int  # activations kept for the backward pass

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.ema + self.kept


def parameters(config: ModelConfig) -> int:
    """Parameters, counted on the network itself without its memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in QAMDT(config).parameters())


def flops(config: ModelConfig, text_tokens: int = 64, gamma: float = 0.0) -> Flops:
    """Operations of one sample with `text_tokens` tokens and the share `gamma` masked."""
    d, p, s = config.width, config.patches, text_tokens
    masked = masked_count(p, gamma)
    seen, every = 1 + p - masked, 1 + p
    total = 2 * p * config.patch_size * d * 2  # patches in and out
    total += 2 * s * config.text_width * d + 2 * d * (TIME_WIDTH + d + 6 * d)
    half = config.encoder_depth // 2
    total += half * (_block(config, seen, seen, s) + _block(config, seen, seen, s, skip=True))
    if masked:
        total += _block(config, 1 + masked, every, s)
    total += config.decoder_depth * _block(config, every, every, s, skip=config.input_skip)
    return Flops(float(total))


def _block(config: ModelConfig, n_queries: int, n_keys: int, text: int, skip: bool = False) -> int:
    """A block where `n_queries` of the `n_keys` tokens ask."""
    d = config.width
    products = (n_queries + 2 * n_keys) * d * d + n_queries * d * d  # q, k, v, out
    products += 2 * n_queries * d * d + 2 * text * d * d  # cross: q, out; k, v
    products += n_queries * d * config.inner * (3 if config.ffn == "swiglu" else 2)
    products += 2 * n_queries * d * d * skip
    attention = 2 * n_queries * d * (n_keys + text)  # scores, and their mean of values
    return 2 * (products + attention)


def memory(
    config: ModelConfig, batch: int, text_tokens: int = 64, gamma: float = 0.0, lean: bool = False
) -> Memory:
    """Memory of a training step of `batch` samples; `lean` as of the network."""
    weights = FLOAT_BYTES * parameters(config)
    d, p = config.width, config.patches
    masked = masked_count(p, gamma)
    seen, every = 1 + p - masked, 1 + p
    inside = 0 if lean else config.inner * (2 if config.ffn == "swiglu" else 1)
    # input, q, k, v, heard, out | cross q and heard | feed-forward's input, inside and out
    block = 10 * d + inside
    numbers = config.encoder_depth * seen * block + config.encoder_depth // 2 * seen * d
    numbers += config.decoder_depth * every * (block + d)
    if masked:
        numbers += (1 + masked) * (block - 3 * d) + every * 4 * d
    numbers += every * 2 * d + text_tokens * 2 * d * (config.depth + 1)
    return Memory(weights, weights, 2 * weights, weights, FLOAT_BYTES * batch * numbers)
