"""Trains codec-mini: mels (found in the cache or made), network, weights.

    python -m qamdt.recipes.codec.train_codec --steps 2400

The loss, in units of the log-mel's spread: L1 of the mel, L1 of its steps along time and frequency
at three resolutions (which keeps edges sharp and the coarse shape right), and a small KL towards a
normal latent. The weights written are an exponential mean over steps. A run is repeated exactly by
the same seed and steps; one that was stopped goes on from its last checkpoint in the cache.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...train.codec.mini_network import WEIGHTS, MiniConfig, build, write_weights
from ..common.checkpointed import Checkpointed
from .codec_data import Mels, make_all

STEPS, BATCH, FRAMES = 2400, 4, 160
PEAK_RATE, DECAY, EMA = 2e-3, 0.01, 0.997
KL, EDGES, SCALES = 2e-3, 0.5, (1, 2, 4)
SAVE_EVERY = 200
DATA = (
    "5 s windows of music from Debian packages fretsonfire-songs-muldjord, nexuiz-music and "
    "singularity-music and of music21 corpus scores rendered with TimGM6mb and FluidR3, clean and "
    "with 18 kinds of damage"
)


def edges(x: Tensor, y: Tensor) -> Tensor:
    """L1 of the steps from frame to frame and band to band, mean over SCALES."""
    total = x.new_zeros(())
    for scale in SCALES:
        a, b = (F.avg_pool2d(v, scale) if scale > 1 else v for v in (x, y))
        for axis in (2, 3):
            total = total + (a.diff(dim=axis) - b.diff(dim=axis)).abs().mean()
        total = total + (a - b).abs().mean() * (scale > 1)
    return total / len(SCALES)


def losses(network: Any, mel: Tensor, noise: torch.Generator | None = None) -> dict[str, Tensor]:
    """The terms of the loss for scaled mels [B, 1, T, 64], and their sum as `loss`."""
    posterior = network.encode(mel).latent_dist
    again = network.decode(posterior.sample(noise)).sample
    terms = {
        "l1": (again - mel).abs().mean(),
        "edges": edges(again, mel),
        "kl": posterior.kl().mean() / posterior.mean[0].numel(),
    }
    return {**terms, "loss": terms["l1"] + EDGES * terms["edges"] + KL * terms["kl"]}


def rate_at(step: int, steps: int) -> float:
    """Learning rate: 100 steps up, then half a cosine down to nothing."""
    return PEAK_RATE * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Training(Checkpointed):
    """The training of one codec."""

    def __init__(self, mels: Mels, config: MiniConfig, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.mels, self.config, self.steps = mels, config, steps
        noise = torch.Generator().manual_seed(seed)
        super().__init__(build(config), EMA, PEAK_RATE, DECAY, seed, noise)

    def step(self, batch: int = BATCH, frames: int = FRAMES) -> dict[str, float]:
        """One step; gives the terms of its loss."""
        self.net.train()
        found = losses(self.net, self._scaled(self.mels.batch(batch, frames, self.rng)), self.noise)
        self.descend(found["loss"], rate_at(self.done, self.steps))
        return {name: float(term.detach()) for name, term in found.items()}

    def _scaled(self, mel: Tensor) -> Tensor:
        return (mel - self.config.centre) / self.config.spread

    @torch.inference_mode()
    def dev_l1(self, dev: Mels, rows: int = 48) -> float:
        """Log-mel L1 of the mean of the posterior, on clean examples of `dev`."""
        net = self.trained()
        error = []
        for row in dev.clean[:rows]:
            mel = dev.mels[row, : dev.mels.shape[1] // 4 * 4].float()[None, None]
            again = net.decode(net.encode(self._scaled(mel)).latent_dist.mean).sample
            error.append(float((again - self._scaled(mel)).abs().mean()) * self.config.spread)
        return float(np.mean(error))


def train(training: Training, dev: Mels, checkpoint: Path) -> Any:
    """The averaged network; goes on from `checkpoint` when there is one, and keeps it there."""
    from tqdm import tqdm

    if checkpoint.exists():
        training.load(checkpoint)
    with tqdm(total=training.steps, initial=training.done, unit="step", smoothing=0.02) as bar:
        while training.done < training.steps:
            found = training.step()
            bar.update()
            if training.done % SAVE_EVERY == 0 or training.done == training.steps:
                training.save(checkpoint)
                told = " ".join(f"{name} {value:.4f}" for name, value in found.items())
                bar.write(f"step {training.done} {told}; dev l1 {training.dev_l1(dev):.4f}")
    return training.trained()


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    folder = make_all(given.cache)
    training = Training(Mels(folder, "train"), MiniConfig(), given.steps, given.seed)
    print(f"{len(training.mels)} mels of 5 s", flush=True)
    checkpoint = given.cache / "codec" / f"checkpoint-{given.seed}-{given.steps}.pt"
    network = train(training, Mels(folder, "dev"), checkpoint)
    about = {"recipe": "codec-mini/1", "data": DATA, "license": "Apache-2.0",
             "seed": str(given.seed), "steps": str(given.steps)}  # fmt: skip
    write_weights(network, training.config, given.out, about)
    print(f"wrote {given.out}; `make figures-codec` measures it")


if __name__ == "__main__":
    main()
