"""A training on one thread that can be stopped at any step and goes on to the same bits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...pipeline.progress import Progress


def cosine_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Learning rate of step 0..steps: `warmup` steps up to `peak`, then half a cosine to nothing."""
    return peak * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Checkpointed:
    """Network, EMA of its weights, optimiser, random numbers and steps done: all of a training.

    A subclass defines `step` (one batch: loss and `descend`) and, where more than the terms of the
    loss is to be seen, `report`.

    ema_decay: of the EMA, 0..1. rate: the learning rate, 1 a step. weight_decay: of AdamW.
    seed: of the batches. noise: torch's generator for what the network draws; None where it is the
    global one.
    """

    def __init__(
        self, net: nn.Module, ema_decay: float, rate: float, weight_decay: float, seed: int,
        noise: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        self.net, self.noise, self.done = net, noise, 0
        self.rng = np.random.default_rng(seed)
        self.ema = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema_decay)
        )
        self.optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=weight_decay)

    def step(self) -> Mapping[str, float]:
        """One step; the terms of its loss by name."""
        raise NotImplementedError

    def report(self, terms: Mapping[str, float]) -> str:
        """What is printed now and then, from the terms of the last step."""
        return " ".join(f"{name} {value:.4f}" for name, value in terms.items())

    def run(self, steps: int, checkpoint: Path | None, save_every: int, report_every: int) -> Any:
        """Train up to `steps` steps; the averaged network.

        checkpoint: a file to go on from where it is there, and to save into every `save_every` steps
        and at the end; None keeps nothing.
        """
        if checkpoint and checkpoint.exists():
            self.load(checkpoint)
        with Progress("steps", steps) as bar:
            bar.advance(self.done)
            while self.done < steps:
                terms = self.step()
                bar.advance(1)
                last = self.done == steps
                if checkpoint and (self.done % save_every == 0 or last):
                    self.save(checkpoint)
                if self.done % report_every == 0 or last:
                    print(f"step {self.done} {self.report(terms)}", flush=True)
        return self.trained()

    def descend(self, loss: Tensor, rate: float) -> None:
        """One step down `loss` at learning rate `rate`, gradients clipped to norm 1; counts it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update_parameters(self.net)
        self.done += 1

    def trained(self) -> Any:
        """The network with the EMA of the weights, in evaluation mode."""
        return self.ema.module.eval()

    def save(self, path: Path) -> None:
        """Write all of it by one rename."""
        state = {
            "net": self.net.state_dict(), "mean": self.ema.state_dict(), "done": self.done,
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
        self.ema.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["torch"])
        if self.noise:
            self.noise.set_state(state["noise"])
        self.done = state["done"]
