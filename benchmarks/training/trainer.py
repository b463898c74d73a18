"""Measure the trainer and write figures/trainer.json: one figure a name, with its command.

    python -m qamdt.benchmarks.training.trainer --out figures/trainer.json \
      [--only resume,...] [--released FOLDER]

resume_difference        largest difference in any weight, mean or moment between 20 steps and 10 + 10
kill_lost                checkpoints lost in 12 kills -9 at random moments of a save loop
overfit_ratio, _batch    last loss / first loss, `nano` on one batch, noise and t fixed, 400 steps
follows_level, _text     share of generated latents in which the classifiers of synthetic_latents.py
                         find the level and the caption that were asked for
mask_ratio_measured, mask_ratio_flops   cost of a step at gamma 0.5 against one that masks nothing
step_ratio, memory_ratio against the released class; with --released alone (see released.py)
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ...pipeline.dataset import Dataset
from ...recipes.common.figures import range_figure, share_figure
from ...train.config import Config
from ...train.data.randomness import seeded
from ...train.data.text_states import StoredText, padded
from ...train.diffusion.config import ObjectiveConfig
from ...train.diffusion.objective import Objective
from ...train.generate.sample import load_network
from ...train.loop.checkpoint import EMA, MODEL, OPTIMIZER, latest
from ...train.loop.demos import generate
from ...train.loop.fit import fit
from ...train.network.config import ModelConfig, sized
from ...train.network.flops import flops
from ...train.network.masking import draw_mask
from ...train.network.model import QAMDT
from ..figures import Figures, Only, Out, Parts, figure, measure_parts
from .synthetic_latents import (
    CAPTIONS,
    classify_caption,
    classify_level,
    make_latent,
    make_synthetic,
    word_states,
)

COMMAND = "make figures-trainer"
SEEDS_EACH = 8  # latents for each caption and level
OVERFIT_STEPS = 400


def small_config(**fit_settings: Any) -> Config:
    """`nano` for synthetic latents, on the CPU.

    A patch spans all bands: rotary positions tell distances alone, so that a network this small does
    not learn within minutes which of two rows of bands it is in.
    """
    return (
        Config()
        .override("model", {"size": "nano", "channels": 4, "frames": 32, "bands": 8})
        .override("model", {"patch_frames": 4, "patch_bands": 8, "text_width": 64})
        .override("objective", {"prediction": "flow"})
        .override("data", {"loader_workers": 0, "quality_prefix": False})
        .override("fit", {"device": "cpu", "precision": "fp32", "batch_size": 16, **fit_settings})
        .override("watch", {"validate_every": 0, "demo_every": 0, "tensorboard": False})
    )


def measure_resume(work: Path) -> Figures:
    """20 steps against 10, saved, loaded, and 10 more; workers 0, then 2; in the middle of an epoch."""
    dataset = Dataset(work / "data")
    make_synthetic(dataset, 200)
    config = small_config(steps=20, accumulate=2, batch_size=2)
    fit(dataset, work / "straight", config)
    fit(dataset, work / "parts", config, until=10)
    fit(dataset, work / "parts", config.override("data", {"loader_workers": 2}))
    straight, parts = latest(work / "straight"), latest(work / "parts")
    if straight is None or parts is None or straight.step != parts.step:
        raise RuntimeError("the runs did not end at the same step")
    worst, count = 0.0, 0
    for name in (MODEL, EMA, OPTIMIZER):
        a, b = straight.tensors(name), parts.tensors(name)
        worst = max(worst, *(float((a[k].double() - b[k].double()).abs().max()) for k in a))
        count += sum(t.numel() for t in a.values())
    return {"resume_difference": figure(worst, count, "largest absolute difference", COMMAND)}


def measure_kills(work: Path, kills: int = 12) -> Figures:
    """kill -9 while a child saves without a pause; each step it printed as saved must load."""
    rng, done, lost = random.Random(0), 0, 0
    for _ in range(kills):
        command = [
            sys.executable,
            "-m",
            "qamdt.benchmarks.training.trainer",
            "--save-loop",
            str(work),
        ]
        child = subprocess.Popen([*command, "--only", str(done)], stdout=subprocess.PIPE, text=True)
        if child.stdout is None or not child.stdout.readline():
            raise RuntimeError("the child did not save")
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        saved = [int(line) for line in child.stdout.read().split()]
        child.wait()
        last = latest(work)
        intact = last is not None and all(
            (t == last.step).all() for t in last.tensors(MODEL).values()
        )
        if last is None or not intact or last.step < max([done, *saved]):
            lost += 1
        else:
            done = last.step
    return {"kill_lost": figure(lost, kills, "checkpoints lost, of kills", COMMAND)}


def save_loop(run: Path, step: int) -> None:
    """Save checkpoints for ever; prints each step once it is saved."""
    from ...train.loop.checkpoint import save

    while True:
        step += 1
        weights = {str(k): torch.full((50_000,), float(step)) for k in range(16)}
        save(run, step, {MODEL: weights, EMA: weights}, {}, keep=2)
        print(step, flush=True)


def measure_overfit(work: Path) -> Figures:
    """eps learned by heart; latents, t and noise fixed.

    overfit_ratio: `nano` as it is, one latent of 8 x 256 x 16. overfit_ratio_batch: a batch of 8 latents
    of 4 x 32 x 8 in patches of 4 x 4. (Two large latents are more than `nano` can hold, .11: their
    128 patches of 512 random numbers have a higher rank than its width of 96.)
    """
    del work
    small = sized(
        "nano", channels=4, frames=32, bands=8, patch_frames=4, patch_bands=4, text_width=64
    )
    unit = f"last loss / first, {OVERFIT_STEPS} steps"
    ratios = {
        "overfit_ratio": _overfitted(sized("nano", text_width=64), 1),
        "overfit_ratio_batch": _overfitted(small, 8),
    }
    return {name: figure(x, OVERFIT_STEPS, unit, COMMAND) for name, x in ratios.items()}


def _overfitted(config: ModelConfig, count: int) -> float:
    """Last loss over first, on `count` synthetic latents."""
    torch.manual_seed(0)
    network, objective = QAMDT(config), Objective(ObjectiveConfig())
    rng, chance = np.random.default_rng(0), seeded(0)
    pairs = [(CAPTIONS[k % len(CAPTIONS)], 1 + k % 5) for k in range(count)]
    latents = [make_latent(caption, level, config.shape, rng) for caption, level in pairs]
    clean = torch.from_numpy(np.stack(latents))
    noise = torch.randn(count, *config.shape, generator=chance)
    text, mask = padded([torch.from_numpy(word_states(caption, 64)) for caption, _ in pairs])
    quality = torch.tensor([float(level) for _, level in pairs])
    t = torch.arange(count) * 125.0 + 60
    noised = objective.noised(clean, noise, t)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.0)
    losses = []
    for step in range(OVERFIT_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20)
        loss = objective.loss(network(noised, t, text, mask, quality), clean, noise, t).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses[-1] / losses[0]


def measure_learning(work: Path) -> Figures:
    """Train on the synthetic set, generate every caption at every level, classify the latents."""
    dataset = Dataset(work / "data")
    make_synthetic(dataset, 2400)
    config = small_config(steps=LEARN_STEPS).override(
        "optim", {"lr": 2e-3, "warmup": 100, "ema": 0.99, "schedule": "cosine"}
    )
    fit(dataset, work / "run", config)
    network, trained, about = load_network(work / "run", torch.device("cpu"))
    texts = StoredText.open(dataset, trained.data.max_tokens)
    wanted = [(c, q, s) for c in CAPTIONS for q in range(1, 6) for s in range(SEEDS_EACH)]
    prompts, levels, seeds = zip(*wanted, strict=True)
    sampling = dataclasses.replace(trained.sample, steps=25, guidance=0.5, solver="euler")
    latents = generate(
        network, Objective(trained.objective), texts, prompts, levels, seeds, sampling,
        torch.device("cpu"), low_quality=0.0,
    )  # fmt: skip
    unscaled = latents.numpy() / about["latents"]["scale"]
    level = classify_level(unscaled) == np.array(levels)
    text = classify_caption(unscaled) == np.array([CAPTIONS.index(p) for p in prompts])
    unit = "share of generated latents"
    return {
        "follows_level": share_figure(level, unit, COMMAND),
        "follows_text": share_figure(text, unit, COMMAND),
    }


LEARN_STEPS = 1200


def measure_masking(work: Path, rounds: int = 7) -> Figures:
    """CPU seconds of forward and backward at gamma 0.5 over those at 0, taken in turns; and FLOPs."""
    del work
    config = sized("s")
    torch.manual_seed(0)
    network, chance = QAMDT(config), seeded(1)
    latents = torch.randn(1, *config.shape, generator=chance)
    text, real = torch.randn(1, 64, config.text_width), torch.ones(1, 64, dtype=torch.bool)
    t, quality = torch.tensor([500.0]), torch.tensor([3.0])

    def seconds(gamma: float) -> float:
        mask = draw_mask(1, config.patches, gamma, chance) if gamma else None
        start = time.process_time()
        network(latents, t, text, real, quality, mask).square().mean().backward()
        return time.process_time() - start

    seconds(0.5), seconds(0.0)
    ratios = [seconds(0.5) / seconds(0.0) for _ in range(rounds)]
    analytic = flops(config, 64, 0.5).step / flops(config, 64, 0.0).step
    unit = "CPU s of a step at gamma 0.5 / at 0, size s, 1 thread"
    return {
        "mask_ratio_measured": range_figure(ratios, unit, COMMAND),
        "mask_ratio_flops": figure(analytic, 1, "FLOPs, the same ratio", COMMAND),
    }


PARTS: Parts = {
    "resume": measure_resume,
    "kills": measure_kills,
    "overfit": measure_overfit,
    "learning": measure_learning,
    "masking": measure_masking,
}


def main(
    out: Out = Path("figures/trainer.json"),
    only: Only = "",
    released: Annotated[
        Path | None, typer.Option(help="checkout of the released code, to compare with")
    ] = None,
    save_loop_in: Annotated[Path | None, typer.Option("--save-loop", hidden=True)] = None,
) -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    torch.set_num_threads(1)
    if save_loop_in:
        save_loop(save_loop_in, int(only))
    measure_parts(PARTS, only, out)
    if released:
        command = [sys.executable, "-m", "qamdt.benchmarks.training.released", "--out", str(out)]
        subprocess.run([*command, "--released", str(released)], check=True)


if __name__ == "__main__":
    typer.run(main)
