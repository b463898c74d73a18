"""Trains pmos-mini: labels (made or found in the cache), features, network, weights.

    python -m qamdt.recipes.pmos.train_pmos --cache DIR --workers 2

The loss: the score's error, ranking of pairs (those of one clip count three times), and two
lessons on the side, which damage it is and how similar each of the teacher's 32 bands stayed. The
teacher's scale ends at 4.73: a label there means "better than that can tell" (censored regression,
Tobin 1958) and is learned as at least 4.85, so that most clean sounds pass the ceiling; above 5 there
is a weak pull back. The weights written are an exponential mean over steps.

A run is repeated exactly by the same seed, steps and labels (one thread computes); one that was stopped
goes on from its last checkpoint in the cache.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from ...models.pmos.base import CEILING, WEIGHTS
from ...models.pmos.mini_features import CUES
from ...models.pmos.mini_network import Heard, NetConfig, PmosNet
from ..common.checkpointed import Checkpointed
from . import labels
from .pmos_data import DAMAGES, Batch, Examples, extract, extract_all
from .pmos_eval import summary

CLIPS, VERSIONS = 6, 4
DECAY, EMA = 0.05, 0.999
SAVE_EVERY, TELL_EVERY = 500, 2000
TOP, TOP_PULL = 4.85, 5.0  # what a label at the ceiling is learned as: at least, at most
LIFT = 0.03  # MOS added in the end: RMSE on dev .345 -> .344, Spearman the same


@dataclass(frozen=True)
class Stage:
    """How many steps, and the highest learning rate."""

    steps: int
    rate: float


STAGE = Stage(20000, 1e-3)
DATA = (
    "5 s windows of music from Debian packages fretsonfire-songs-muldjord, nexuiz-music and "
    "singularity-music and of music21 corpus scores rendered with TimGM6mb, FluidR3, OPL3 and "
    "sf_GMbank, some on simulated guitar amplifiers; 23 kinds of damage; labels by ViSQOL (audio "
    "mode) less stated penalties"
)


def loss_of(heard: Heard, batch: Batch) -> torch.Tensor:
    """1.5 x score + .3 ranking + 1.2 damage + 6 x similarity.

    The score's loss is |e| + e^2: near the top, where clean and mildly damaged sounds cannot be
    told apart, the median is wanted; for large errors the mean.
    """
    at_top = batch.mos > CEILING - 0.01
    error = torch.where(at_top, (heard.mos - TOP).clamp(max=0), heard.mos - batch.mos)
    above = F.relu(heard.mos - TOP_PULL)
    mos = 1.5 * (error.abs() + error.square() + 0.2 * above.square()).mean()
    gap = batch.mos[:, None] - batch.mos
    pairs = gap > 0.1
    weight = 1 + 2 * (batch.clip[:, None] == batch.clip).float()
    ahead = heard.mos[:, None] - heard.mos
    rank = (F.softplus(-4 * ahead) * weight)[pairs].sum() / weight[pairs].sum().clamp_min(1)
    damage = F.binary_cross_entropy_with_logits(heard.damage, batch.damage)
    similarity = F.mse_loss(heard.similarity, batch.similarity)
    return mos + 0.3 * rank + 1.2 * damage + 6 * similarity


def rate_at(step: int, stage: Stage) -> float:
    """Learning rate: 200 steps up, then half a cosine down to nothing."""
    fall = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    return stage.rate * min(1.0, (step + 1) / 200) * fall


class Training(Checkpointed):
    """The training of one network."""

    def __init__(
        self, examples: Examples, stage: Stage, seed: int, start: PmosNet | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.examples, self.stage = examples, stage
        net = PmosNet(NetConfig(kinds=DAMAGES, cues=CUES, cue_width=96, cue_dropout=0.15))
        net.center, net.scale = examples.center_and_scale()
        if start:
            net.load_state_dict(start.state_dict())
        super().__init__(net, EMA, stage.rate, DECAY, seed)

    def step(self) -> float:
        """One step; gives its loss."""
        batch = self.examples.batch(CLIPS, VERSIONS, self.rng)
        self.net.train()
        loss = loss_of(self.net(batch.features), batch)
        self.descend(loss, rate_at(self.done, self.stage))
        return float(loss.detach())


def train(
    examples: Examples, dev: Examples, stage: Stage, seed: int, checkpoint: Path,
    start: PmosNet | None = None,
) -> PmosNet:  # fmt: skip
    """The averaged network; goes on from `checkpoint` when there is one, and keeps it there.

    start: the network to begin with, of the same sizes; None is a new one.
    """
    from tqdm import tqdm

    training = Training(examples, stage, seed, start)
    if checkpoint.exists():
        training.load(checkpoint)
    with tqdm(total=stage.steps, initial=training.done, unit="step", smoothing=0.02) as bar:
        while training.done < stage.steps:
            loss = training.step()
            bar.update()
            last = training.done == stage.steps
            if training.done % SAVE_EVERY == 0 or last:
                training.save(checkpoint)
            if training.done % TELL_EVERY == 0 or last:
                told = summary(training.trained(), dev)
                bar.write(f"step {training.done} loss {loss:.3f} dev {told}")
    net: PmosNet = training.trained()
    return net


def train_all(folder: Path, seed: int) -> PmosNet:
    """pmos-mini before its lift, from the labels in `folder`."""
    examples, dev = Examples(folder, "train"), Examples(folder, "dev")
    print(f"{len(examples)} examples for training, {len(dev)} for dev", flush=True)
    checkpoint = folder / f"checkpoint-{seed}-{STAGE.steps}.pt"
    return train(examples, dev, STAGE, seed, checkpoint)


def save(
    net: PmosNet, path: Path, seed: int, stages: tuple[Stage, ...] = (STAGE,), note: str = "",
    lift: float = 0.0,
) -> None:  # fmt: skip
    """The weights in float16, scores lifted by `lift`, and in the header what they are and what made
    them."""
    from safetensors.torch import save_file

    about = {
        "config": json.dumps(net.config.plain()), "recipe": labels.RECIPE, "data": DATA + note,
        "data_seed": str(labels.SEED), "seed": str(seed), "license": "Apache-2.0",
        "steps": " + ".join(str(stage.steps) for stage in stages),
    }  # fmt: skip
    state = net.state_dict()
    state["mos.bias"] = state["mos.bias"] + lift
    state = {name: tensor.half().contiguous() for name, tensor in state.items()}
    save_file(state, path, metadata=about)


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--workers", type=int, default=2, help="processes that label")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    folder = labels.run(given.cache, given.workers, then=extract)
    extract_all(
        folder, workers=given.workers
    )  # parts labelled before, or heard by an older front end
    torch.set_num_threads(1)
    save(train_all(folder, given.seed), given.out, given.seed, lift=LIFT)
    print(f"wrote {given.out}; `make eval-models` measures it")


if __name__ == "__main__":
    main()
