"""Weights, their mean and AdamW's moments as plain whole tensors by name, and back again.

One form on disk for one process, DDP and FSDP2: a sharded tensor (DTensor) is gathered to be saved
and cut again to be loaded, so that a checkpoint does not know how it was trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ...schemas.errors import ConfigError, StoreError
from .ema import Ema

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's, a tensor each
Tensors = dict[str, torch.Tensor]


def weights_of(network: nn.Module) -> Tensors:
    """Parameters and stored buffers."""
    return {name: full_tensor(tensor) for name, tensor in network.state_dict().items()}


def mean_of(network: nn.Module, ema: Ema) -> Tensors:
    """The mean of the parameters, and the network's stored buffers: a whole state dict."""
    parameters = dict(network.named_parameters())
    buffers = {k: full_tensor(v) for k, v in network.state_dict().items() if k not in parameters}
    return {**{name: full_tensor(tensor) for name, tensor in ema.mean.items()}, **buffers}


def moments_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """AdamW's state, as `<moment>.<name of the weight>`."""
    return {
        f"{moment}.{name}": full_tensor(optimizer.state[weight][moment])
        for name, weight in network.named_parameters()
        if weight in optimizer.state
        for moment in MOMENTS
    }


@torch.no_grad()
def put_weights(network: nn.Module, saved: Mapping[str, torch.Tensor]) -> None:
    """Load a state dict of whole tensors. Raises StoreError where names or shapes differ."""
    own = network.state_dict()
    if set(own) != set(saved):
        raise StoreError(f"weights of another network: {sorted(set(own) ^ set(saved))[:4]} differ")
    for name, tensor in own.items():
        if tensor.shape != saved[name].shape:
            raise StoreError(
                f"weight {name}: {tuple(saved[name].shape)} in the file, {tuple(tensor.shape)} here"
            )
        tensor.copy_(cut(saved[name], tensor))


def put_mean(
    network: nn.Module, ema: Ema, saved: Mapping[str, torch.Tensor], weight: float
) -> None:
    """Load the mean of the weights. weight: the sum of its terms (see ema.py)."""
    names = {name for name, _ in network.named_parameters()}
    mean = {k: cut(v, ema.mean[k]) for k, v in saved.items() if k in names}
    ema.load(mean, weight)


def put_moments(
    network: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]
) -> None:
    """Load AdamW's state. Raises ConfigError where a moment of a weight is missing."""
    for name, weight in network.named_parameters():
        keys = [f"{moment}.{name}" for moment in MOMENTS]
        if not any(key in saved for key in keys):
            continue
        if not all(key in saved for key in keys):
            raise ConfigError(f"the optimiser's state of {name} is not whole")
        step, *moments = (saved[key] for key in keys)
        optimizer.state[weight] = {
            "step": step.clone(),
            **{k: cut(v, weight) for k, v in zip(MOMENTS[1:], moments, strict=True)},
        }


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A plain tensor of what may be sharded (a call for all processes together)."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor.detach()


def cut(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A copy of `tensor`, placed and sharded as `like` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    moved = tensor.to(device=like.device, dtype=like.dtype, copy=True)
    if isinstance(like, DTensor):
        return distribute_tensor(moved, like.device_mesh, like.placements)
    return moved
