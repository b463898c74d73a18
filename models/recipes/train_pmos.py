"""Trains pmos-mini: labels (made or found in the cache), features, network, weights.

    python -m qamdt.models.recipes.train_pmos --cache DIR --workers 2

The loss: the score's error, ranking of pairs (those of one clip count three times), and two
lessons on the side, which damage it is and how similar each of the teacher's 32 bands stayed. The
teacher's scale ends at 4.73: a label there means "better than that can tell" (censored regression,
Tobin 1958) and is learned as at least 4.85, so that most clean sounds pass the ceiling; above 5 there
is a weak pull back. Two networks are trained side by side, one with textures and one without; their
scores are averaged. The weights written are an exponential mean over steps.

A run is repeated exactly by the same seed, steps and labels (one thread computes); one that was stopped
goes on from its last checkpoint in the cache.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from ..pmos import CEILING, WEIGHTS
from ..pmos_front import CUES
from ..pmos_net import Heard, NetConfig, PmosNet, write_committee
from . import labels
from .checkpointed import Checkpointed
from .pmos_data import DAMAGES, Batch, Examples, hear, hear_all
from .pmos_eval import summary

CLIPS, VERSIONS = 6, 4
DECAY, EMA = 0.05, 0.999
SAVE_EVERY, TELL_EVERY = 500, 2000
TOP, TOP_PULL = 4.85, 5.0  # what a label at the ceiling is learned as: at least, at most
LIFT = 0.03  # added in the end: more clean sounds pass the ceiling (dev Spearman .852 -> .864)


@dataclass(frozen=True)
class Stage:
    """How many steps, and the highest learning rate."""

    steps: int
    rate: float


STAGE = Stage(20000, 1e-3)
MEMBERS = (  # of the committee: with textures, whose cues are sometimes taken away, and without
    NetConfig(kinds=DAMAGES, cues=CUES, cue_width=96, cue_dropout=0.15),
    NetConfig(kinds=DAMAGES),
)
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
        self, examples: Examples, stage: Stage, seed: int, config: NetConfig = MEMBERS[0],
        start: PmosNet | None = None,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self.examples, self.stage = examples, stage
        net = PmosNet(config)
        net.center, net.scale = (x[: len(net.center)] for x in examples.center_and_scale())
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


def train(training: Training, dev: Examples, checkpoint: Path, line: int = 0) -> PmosNet:
    """The averaged network; goes on from `checkpoint` when there is one, and keeps it there.

    line: where the progress bar stands, for several trainings at once.
    """
    from tqdm import tqdm

    steps = training.stage.steps
    if checkpoint.exists():
        training.load(checkpoint)
    with tqdm(
        total=steps, initial=training.done, unit="step", smoothing=0.02, position=line
    ) as bar:
        while training.done < steps:
            loss = training.step()
            bar.update()
            if training.done % SAVE_EVERY == 0 or training.done == steps:
                training.save(checkpoint)
            if training.done % TELL_EVERY == 0 or training.done == steps:
                told = summary(training.trained(), dev)
                bar.write(f"network {line} step {training.done} loss {loss:.3f} dev {told}")
    net: PmosNet = training.trained()
    return net


def train_member(folder: Path, seed: int, number: int) -> PmosNet:
    """One member of the committee, from the labels in `folder`, on one thread."""
    torch.set_num_threads(1)
    training = Training(Examples(folder, "train"), STAGE, seed + number, MEMBERS[number])
    checkpoint = folder / f"checkpoint-{number}-{seed}-{STAGE.steps}.pt"
    return train(training, Examples(folder, "dev"), checkpoint, number)


def _trained(folder: Path, seed: int, number: int) -> None:
    """`train_member` in a process of its own: its checkpoint is what it leaves."""
    train_member(folder, seed, number)


def train_all(folder: Path, seed: int, workers: int) -> list[PmosNet]:
    """All members, side by side in `workers` processes."""
    numbers = range(len(MEMBERS))
    with multiprocessing.get_context("spawn").Pool(min(workers, len(MEMBERS))) as pool:
        pool.map(partial(_trained, folder, seed), numbers, chunksize=1)
    return [train_member(folder, seed, number) for number in numbers]


def save(
    members: Sequence[PmosNet], path: Path, seed: int, stages: tuple[Stage, ...] = (STAGE,),
    note: str = "", lift: float = 0.0,
) -> None:  # fmt: skip
    """The weights, scores lifted by `lift`, and in the header what they are and what made them."""
    about = {
        "recipe": labels.RECIPE, "data": DATA + note, "data_seed": str(labels.SEED),
        "seed": str(seed), "license": "Apache-2.0",
        "steps": " + ".join(str(stage.steps) for stage in stages),
    }  # fmt: skip
    write_committee(members, path, about, lift)


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--workers", type=int, default=2, help="processes that label")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    folder = labels.run(given.cache, given.workers, then=hear)
    hear_all(folder, workers=given.workers)  # parts labelled before, or heard by an older front end
    members = train_all(folder, given.seed, given.workers)
    save(members, given.out, given.seed, lift=LIFT)
    print(f"wrote {given.out}; `make eval-models` measures it")


if __name__ == "__main__":
    main()
