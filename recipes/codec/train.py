"""Trains codec-mini: mels (read from the cache, or made), network, weights.

    python -m qamdt.recipes.codec.train --steps 2400

The loss, in units of the log-mel's spread: L1 of the mel, L1 of its steps along time and frequency
at three resolutions (which keeps edges sharp and the coarse shape right), and a small KL towards a
normal latent. The weights written are an EMA over steps. A run is repeated exactly by
the same seed and steps; one that was stopped goes on from its last checkpoint in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...train.codec.mini_network import WEIGHTS, MiniConfig, build, write_weights
from ..common.checkpointed import Checkpointed, cosine_rate
from ..common.command import recipe_parser
from .data import Mels, make_all

STEPS, BATCH, FRAMES = 2400, 4, 160
PEAK_RATE, WARMUP, WEIGHT_DECAY, EMA = 2e-3, 100, 0.01, 0.997
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


class Training(Checkpointed):
    """The training of one codec. dev: what reports are measured on."""

    def __init__(
        self, mels: Mels, config: MiniConfig, steps: int, seed: int, dev: Mels | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.mels, self.config, self.steps, self.dev = mels, config, steps, dev
        noise = torch.Generator().manual_seed(seed)
        super().__init__(build(config), EMA, PEAK_RATE, WEIGHT_DECAY, seed, noise)

    def step(self, batch: int = BATCH, frames: int = FRAMES) -> Mapping[str, float]:
        """One step; the terms of its loss."""
        self.net.train()
        terms = losses(self.net, self._scaled(self.mels.batch(batch, frames, self.rng)), self.noise)
        self.descend(terms["loss"], cosine_rate(self.done, self.steps, PEAK_RATE, WARMUP))
        return {name: float(term.detach()) for name, term in terms.items()}

    def report(self, terms: Mapping[str, float]) -> str:
        """The terms, and the error on `dev`."""
        line = super().report(terms)
        return f"{line}; dev l1 {self.dev_l1(self.dev):.4f}" if self.dev else line

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


def main() -> None:
    """The command: see the module."""
    parser = recipe_parser(__doc__, seed=0, out=WEIGHTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder = make_all(args.cache)
    mels, dev = (Mels(folder, split) for split in ("train", "dev"))
    print(f"{len(mels)} mels of 5 s", flush=True)
    training = Training(mels, MiniConfig(), args.steps, args.seed, dev)
    checkpoint = args.cache / "codec" / f"checkpoint-{args.seed}-{args.steps}.pt"
    network = training.run(args.steps, checkpoint, SAVE_EVERY, SAVE_EVERY)
    about = {"recipe": "codec-mini/1", "data": DATA, "license": "Apache-2.0",
             "seed": str(args.seed), "steps": str(args.steps)}  # fmt: skip
    write_weights(network, training.config, args.out, about)
    print(f"wrote {args.out}; `make figures-codec` measures it")


if __name__ == "__main__":
    main()
