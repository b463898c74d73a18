"""A training on one thread that can be stopped at any step and goes on to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


class Checkpointed:
    """Network, mean of its weights, optimiser, random numbers and steps done: all of a training.

    noise: torch's generator for what the network draws; None where it is the global one.
    """

    def __init__(
        self, net: nn.Module, ema: float, rate: float, decay: float, seed: int,
        noise: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        self.net, self.noise, self.done = net, noise, 0
        self.rng = np.random.default_rng(seed)
        self.mean = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema)
        )
        self.optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)

    def descend(self, loss: torch.Tensor, rate: float) -> None:
        """One step down `loss` at learning rate `rate`, gradients clipped to norm 1; counts it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.mean.update_parameters(self.net)
        self.done += 1

    def trained(self) -> Any:
        """The network with the mean of the weights, in evaluation mode."""
        return self.mean.module.eval()

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        state = {
            "net": self.net.state_dict(), "mean": self.mean.state_dict(), "done": self.done,
            "optimizer": self.optimizer.state_dict(), "torch": torch.get_rng_state(),
            "numpy": json.dumps(self.rng.bit_generator.state),
        }  # fmt: skip
        if self.noise:
            state["noise"] = self.noise.get_state()
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on where `save` left off."""
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["torch"])
        if self.noise:
            self.noise.set_state(state["noise"])
        self.done = state["done"]
