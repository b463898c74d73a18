"""Trains pmos-mini: labels (made or found in the cache), network, weights, figures.

    python -m qamdt.models.recipes.train_pmos --cache DIR --clips 1600 --minutes 12

The loss: Huber on the score, ranking of pairs (those of one clip count three times), and two
lessons on the side, which damage it is and how similar each of the teacher's 32 bands stayed. The
weights written are an exponential mean over steps. The schedule follows the steps, and their number
is set by `--minutes` after timing the first ones, or given by `--steps` to repeat a run exactly.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..pmos import WEIGHTS
from ..pmos_net import Heard, NetConfig, PmosNet
from . import labels
from .pmos_data import DAMAGES, Batch, Examples
from .pmos_eval import pearson, rmse, scored, spearman

CLIPS, VERSIONS = 8, 4
PEAK_RATE, DECAY, EMA = 1e-3, 0.05, 0.997
DATA = (
    "5 s windows of music from Debian packages fretsonfire-songs-muldjord, nexuiz-music and "
    "singularity-music and of music21 corpus scores rendered with TimGM6mb; 18 kinds of damage; "
    "labels by ViSQOL (audio mode) less stated penalties"
)


def loss_of(heard: Heard, batch: Batch) -> torch.Tensor:
    """Huber(.3) + .3 ranking + .3 damage + 3 x similarity."""
    mos = F.huber_loss(heard.mos, batch.mos, delta=0.3) * 3
    gap = batch.mos[:, None] - batch.mos
    pairs = gap > 0.1
    weight = 1 + 2 * (batch.clip[:, None] == batch.clip).float()
    ahead = heard.mos[:, None] - heard.mos
    rank = (F.softplus(-4 * ahead) * weight)[pairs].sum() / weight[pairs].sum().clamp_min(1)
    damage = F.binary_cross_entropy_with_logits(heard.damage, batch.damage) * 4
    similarity = F.mse_loss(heard.similarity, batch.similarity) * 3
    return mos + 0.3 * rank + 0.3 * damage + similarity


def rate_at(step: int, steps: int) -> float:
    """Learning rate: 100 steps up, then half a cosine down to nothing."""
    return PEAK_RATE * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    examples: Examples, dev: Examples, minutes: float, steps: int, seed: int
) -> tuple[PmosNet, int]:
    """The averaged network and the number of its training steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = PmosNet(NetConfig(kinds=DAMAGES))
    net.center, net.scale = examples.center_and_scale()
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    began, step = time.monotonic(), 0
    while step < (steps or 10**9):
        if step == 30 and not steps:
            steps = max(200, int(minutes * 60 / ((time.monotonic() - began) / 30)))
            print(f"{steps} steps", flush=True)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps or 10**6)
        batch = examples.batch(CLIPS, VERSIONS, rng)
        net.train()
        loss = loss_of(net(batch.features), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(net)
        step += 1
        if step % 500 == 0:
            t = scored(mean.module, dev)
            spent = (time.monotonic() - began) / 60
            print(
                f"step {step} ({spent:.1f} min) loss {loss.item():.3f} dev pearson "
                f"{pearson(t):.3f} spearman {spearman(t):.3f} rmse {rmse(t):.3f}",
                flush=True,
            )
    trained = mean.module
    assert isinstance(trained, PmosNet)  # noqa: S101 - for the type checker
    return trained, step


def save(net: PmosNet, path: Path, facts: dict[str, str]) -> None:
    """The weights as safetensors, with the network's sizes and `facts` as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, path, {"config": json.dumps(net.config.plain()), **facts})


def main() -> None:
    """The command: label what is missing, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--clips", type=int, default=1600, help="to label, seven versions each")
    parser.add_argument("--plain", type=int, default=1280, help="further clips, clean alone")
    parser.add_argument("--minutes", type=float, default=12.0, help="time for training")
    parser.add_argument("--steps", type=int, default=0, help="of training, instead of minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-found", action="store_true", help="train on the labels that exist")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.only_found:
        labels.run(given.cache, given.clips, given.plain)
    folder = labels.folder_of(given.cache)
    examples, dev = Examples(folder, ("train",)), Examples(folder, ("dev",))
    print(f"{len(examples)} examples to learn from, {len(dev)} for development", flush=True)
    net, steps = train(examples, dev, given.minutes, given.steps, given.seed)
    save(net, given.out, {
        "recipe": labels.RECIPE, "data": DATA, "data_seed": str(labels.SEED),
        "seed": str(given.seed), "steps": str(steps), "examples": str(len(examples)),
        "license": "Apache-2.0",
    })  # fmt: skip
    print(f"wrote {given.out}: {given.out.stat().st_size / 1e6:.1f} MB; now run "
          "python -m qamdt.models.recipes.pmos_eval")  # fmt: skip


if __name__ == "__main__":
    main()
