"""The mean of the weights over the steps (EMA), unbiased from the first step on.

    mean_n = sum_k decay^(n-k) w_k / sum_k decay^(n-k)

With s_n = decay s_(n-1) + 1 (s_0 = 0) that is mean_n = mean_(n-1) + (w_n - mean_(n-1)) / s_n: the
first step gives the weights themselves, so no start value lingers (Adam's bias correction, Kingma &
Ba 2015, section 3; audiocraft's EMA does the same). s_n is saved with the mean. Buffers are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from ...schemas.errors import ConfigError


class Ema:
    """The mean of a network's parameters, in float32, on the parameters' device."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.weight = decay, 0.0  # weight: s_n
        self.mean = {name: p.detach().clone().float() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step into the mean."""
        self.weight = self.decay * self.weight + 1.0
        share = 1.0 / self.weight
        own = [p.detach().float() for _, p in network.named_parameters()]
        means = [self.mean[name] for name, _ in network.named_parameters()]
        torch._foreach_lerp_(means, own, share)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """The network computes with the mean inside; afterwards it has its own bits again."""
        own = {name: p.detach().clone() for name, p in network.named_parameters()}
        _put(network, self.mean)
        try:
            yield
        finally:
            _put(network, own)

    def load(self, mean: Mapping[str, torch.Tensor], weight: float) -> None:
        """Put a saved mean back. Raises ConfigError where its names are not this network's."""
        if set(mean) != set(self.mean):
            strange = sorted(set(mean) ^ set(self.mean))[:4]
            raise ConfigError(f"the saved mean of the weights is of another network: {strange}")
        with torch.no_grad():
            for name, tensor in mean.items():
                self.mean[name].copy_(tensor)
        self.weight = weight


@torch.no_grad()
def _put(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])
