"""Trains pmos-mini: labels (made, or read from the cache), features, network, weights.

    python -m qamdt.recipes.pmos.train --cache DIR --workers 2

The loss: the score's error, ranking of pairs (those of one clip count three times), and two
lessons on the side, which damage it is and how similar each of the teacher's 32 bands stayed. The
teacher's scale ends at 4.73: a label there means "better than that can tell" (censored regression,
Tobin 1958) and is learned as at least 4.85, so that most clean sounds pass the ceiling; above 5 there
is a weak pull back. The weights written are an EMA over steps.

A run is repeated exactly by the same seed, steps and labels (one thread computes); one that was stopped
goes on from its last checkpoint in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from ...models.pmos.base import CEILING, WEIGHTS
from ...models.pmos.mini_features import CUES
from ...models.pmos.mini_network import NetConfig, PmosNet, PmosOutput
from ..common.checkpointed import Checkpointed, cosine_rate
from ..common.command import recipe_parser
from . import labels
from .data import DAMAGES, Batch, Examples, extract, extract_all
from .evaluate import summary

CLIPS, VERSIONS = 6, 4
WEIGHT_DECAY, EMA, WARMUP = 0.05, 0.999, 200
SAVE_EVERY, REPORT_EVERY = 500, 2000
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


def loss_of(output: PmosOutput, batch: Batch) -> torch.Tensor:
    """1.5 x score + .3 ranking + 1.2 damage + 6 x similarity.

    The score's loss is |e| + e^2: near the top, where clean and mildly damaged sounds cannot be
    distinguished, the median is wanted; for large errors the mean.
    """
    at_top = batch.mos > CEILING - 0.01
    error = torch.where(at_top, (output.mos - TOP).clamp(max=0), output.mos - batch.mos)
    above = F.relu(output.mos - TOP_PULL)
    mos = 1.5 * (error.abs() + error.square() + 0.2 * above.square()).mean()
    gap = batch.mos[:, None] - batch.mos
    pairs = gap > 0.1
    weight = 1 + 2 * (batch.clip[:, None] == batch.clip).float()
    ahead = output.mos[:, None] - output.mos
    rank = (F.softplus(-4 * ahead) * weight)[pairs].sum() / weight[pairs].sum().clamp_min(1)
    damage = F.binary_cross_entropy_with_logits(output.damage, batch.damage)
    similarity = F.mse_loss(output.similarity, batch.similarity)
    return mos + 0.3 * rank + 1.2 * damage + 6 * similarity


class Training(Checkpointed):
    """The training of one network.

    start: the network to begin with, of the same sizes; None is a new one. dev: what reports are
    measured on.
    """

    def __init__(
        self, examples: Examples, stage: Stage, seed: int, start: PmosNet | None = None,
        dev: Examples | None = None,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self.examples, self.stage, self.dev = examples, stage, dev
        net = PmosNet(NetConfig(kinds=DAMAGES, cues=CUES, cue_width=96, cue_dropout=0.15))
        net.center, net.scale = examples.center_and_scale()
        if start:
            net.load_state_dict(start.state_dict())
        super().__init__(net, EMA, stage.rate, WEIGHT_DECAY, seed)

    def step(self) -> Mapping[str, float]:
        """One step; its `loss`."""
        batch = self.examples.batch(CLIPS, VERSIONS, self.rng)
        self.net.train()
        loss = loss_of(self.net(batch.features), batch)
        self.descend(loss, cosine_rate(self.done, self.stage.steps, self.stage.rate, WARMUP))
        return {"loss": float(loss.detach())}

    def report(self, terms: Mapping[str, float]) -> str:
        """The loss, and the agreement with the labels of `dev`."""
        line = super().report(terms)
        return f"{line} dev {summary(self.trained(), self.dev)}" if self.dev else line


def train(
    examples: Examples, dev: Examples, stage: Stage, seed: int, checkpoint: Path,
    start: PmosNet | None = None,
) -> PmosNet:  # fmt: skip
    """The averaged network; goes on from `checkpoint` when there is one, and keeps it there."""
    training = Training(examples, stage, seed, start, dev)
    net: PmosNet = training.run(stage.steps, checkpoint, SAVE_EVERY, REPORT_EVERY)
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
    parser = recipe_parser(__doc__, workers="processes that label", seed=0, out=WEIGHTS)
    args = parser.parse_args()
    folder = labels.run(args.cache, args.workers, extract=extract)
    extract_all(folder, workers=args.workers)  # parts labelled before, or by an older front end
    torch.set_num_threads(1)
    save(train_all(folder, args.seed), args.out, args.seed, lift=LIFT)
    print(f"wrote {args.out}; `make eval-models` measures it")


if __name__ == "__main__":
    main()
