"""The EMA of the weights over the steps, unbiased from the first step on.

    ema_n = sum_k decay^(n-k) w_k / sum_k decay^(n-k)

With s_n = decay s_(n-1) + 1 (s_0 = 0) that is ema_n = ema_(n-1) + (w_n - ema_(n-1)) / s_n: the
first step gives the weights themselves, so no start value lingers (Adam's bias correction, Kingma &
Ba 2015, section 3; audiocraft's EMA does the same). s_n is saved with it. Buffers are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from ...schemas.errors import ConfigError


class Ema:
    """The EMA of a network's parameters, in float32, on the parameters' device."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.weight = decay, 0.0  # weight: s_n
        self.average = {name: p.detach().clone().float() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights of one more step."""
        self.weight = self.decay * self.weight + 1.0
        share = 1.0 / self.weight
        own = [p.detach().float() for _, p in network.named_parameters()]
        averages = [self.average[name] for name, _ in network.named_parameters()]
        torch._foreach_lerp_(averages, own, share)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """The network computes with the EMA inside; afterwards it has its own bits again."""
        own = {name: p.detach().clone() for name, p in network.named_parameters()}
        _put(network, self.average)
        try:
            yield
        finally:
            _put(network, own)

    def load(self, average: Mapping[str, torch.Tensor], weight: float) -> None:
        """Put a saved EMA back. Raises ConfigError where its names are not this network's."""
        if set(average) != set(self.average):
            strange = sorted(set(average) ^ set(self.average))[:4]
            raise ConfigError(f"the saved EMA is of another network: {strange}")
        with torch.no_grad():
            for name, tensor in average.items():
                self.average[name].copy_(tensor)
        self.weight = weight


@torch.no_grad()
def _put(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])
