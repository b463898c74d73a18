"""The training loop, top to bottom: `fit(dataset, run, config)`.

    draw    noise, t, mask and dropout of every sample, from (seed, step, place)       draws.py
    noise   x_t from latent, noise and t                                             objective.py
    predict [quality token; visible patches] -> output, once masked, once whole          model.py
    step    gradients of all micro-batches, clipped; AdamW; mean of the weights    optim.py, ema.py
    then    log, loss at fixed t, demos, checkpoint

Run it again and it goes on: 20 steps are 10 steps, a stop and 10 steps, bit for bit on a CPU, whatever
the number of loader workers, in the middle of an epoch. Under `accelerate launch` the same function
runs on several processes (DDP, or FSDP2 by accelerate's own configuration).

Shapes: latents and noise [B, C, T, F], t and quality [B], text [B, S, E].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...pipeline.dataset import Dataset
from ...schemas.errors import ConfigError, ModelError
from ...schemas.settings import to_plain
from ..config import Config
from ..data.loader import Batch, Loader
from ..data.randomness import masks_at, seed_step
from ..data.sampler import Sampler, expected_draws
from ..data.training_set import TrainingSet
from ..diffusion.objective import Objective
from ..network.masking import Mask
from ..network.model import QAMDT
from .checkpoint import EMA, MODEL, OPTIMIZER, read_tensors, save, weights_file
from .demos import generate, write_latents
from .distributed import Processes
from .ema import Ema
from .metrics_log import MetricsLog
from .optim import optimizer_of, rate_at, set_rate
from .run_folder import held, where_it_ended, write_config
from .signals import Stop
from .state_dicts import mean_of, moments_of, put_mean, put_moments, put_weights, weights_of
from .throughput import Speed
from .validation import fixed_times, losses_at

Log = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended. exit_code: 0, or 128 + the signal that stopped it."""

    step: int
    loss: float
    exit_code: int


class Fit:
    """One run, open: data, network, optimiser, mean of the weights, and where they stand."""

    def __init__(self, dataset: Dataset, run: Path, config: Config, processes: Processes) -> None:
        self.run, self.config, self.on = run, config, processes
        self.folder = folder = TrainingSet.open(dataset, config.data)
        folder.check(config.model.shape, config.model.text_width)
        self.train, self.held_out = folder.split(False), folder.split(True)
        count = config.fit.batch_size * config.fit.accumulate * processes.world
        draws = expected_draws(config.data, folder.levels[self.train], folder.pmos[self.train])
        self.sampler = Sampler(draws, config.fit.seed, count)
        self.objective = Objective(config.objective)
        if config.objective.timesteps == "score" and np.isnan(folder.similarity).all():
            raise ConfigError(
                "timesteps = 'score': no clip has a similarity of audio and caption; run qamdt-curate "
                "refine, or choose uniform or logit-normal"
            )

        torch.manual_seed(config.fit.seed)  # the same weights on every process
        self.network = QAMDT(config.model, recompute=config.fit.recompute).to(processes.device)
        optimizer = optimizer_of(self.network, config.optim)
        if config.fit.compile:
            self.network.compile(dynamic=True)  # masked lengths change from step to step
        self.wrapped, self.optimizer = processes.prepare(self.network, optimizer)
        self.network = processes.unwrapped(self.wrapped)
        self.ema = Ema(self.network, config.optim.ema)
        self.step = 0
        self.digest = folder.digest()

    def go_on(self, init: Path | None) -> None:
        """Put back what the run folder's last checkpoint holds; in a new run, the weights `init`."""
        found = where_it_ended(self.run, self.config, self.on.world, self.digest)
        if found is None:
            if init is not None:
                put_weights(self.network, read_tensors(weights_file(init)))
                self.ema = Ema(self.network, self.config.optim.ema)
            return
        put_weights(self.network, found.tensors(MODEL))
        put_mean(self.network, self.ema, found.tensors(EMA), found.state["ema_weight"])
        put_moments(self.network, self.optimizer, found.tensors(OPTIMIZER))
        self.sampler.load_state(found.state["order"])
        self.step = found.step

    def save(self) -> None:
        """Write a checkpoint; all processes gather, the first one writes."""
        files = {
            MODEL: weights_of(self.network),
            EMA: mean_of(self.network, self.ema),
            OPTIMIZER: moments_of(self.network, self.optimizer),
        }
        state = {
            "config": to_plain(self.config), "world": self.on.world, "data": self.digest,
            "order": self.sampler.state(), "ema_weight": self.ema.weight,
            "latents": {"scale": self.folder.scale, "codec": self.folder.codec},
            "text": {"encoder": self.folder.texts.encoder},
        }  # fmt: skip
        if self.on.first:
            save(self.run, self.step, files, state, self.config.watch.keep)
        self.on.wait()

    def train_step(self, batches: Loader) -> tuple[Tensor, Tensor, int, int]:
        """One step of the optimiser. Returns (loss, gradient norm, text tokens, clips replaced)."""
        config, accumulate = self.config, self.config.fit.accumulate
        seed_step(config.fit.seed, self.step, self.on.rank)
        set_rate(
            self.optimizer,
            rate_at(config.optim, config.model.width, self.step, config.fit.steps),
        )
        total, tokens, bad = torch.zeros((), device=self.on.device), 0, 0
        for micro in range(accumulate):
            batch = next(batches).to(self.on.device)
            passes = self.passes(batch)
            for number, mask in enumerate(passes, 1):
                last = micro == accumulate - 1 and number == len(passes)
                with nullcontext() if last else self.on.unsynced(self.wrapped):
                    loss = self.loss(batch, mask) / (accumulate * len(passes))
                    self.on.backward(loss)
                total += loss.detach()
            tokens, bad = max(tokens, batch.text.shape[1]), bad + len(batch.bad)
        norm = self.on.clip(self.wrapped, config.optim.grad_clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network)
        self.step += 1
        return total, norm, tokens, bad

    def passes(self, batch: Batch) -> list[Mask | None]:
        """What is masked in each forward pass; the masked one is last, as it uses all weights."""
        if batch.mask is not None and self.config.masking.masking == "masked+full":
            return [None, batch.mask]
        return [batch.mask]

    def loss(self, batch: Batch, mask: Mask | None) -> Tensor:
        """The mean loss of one pass over a micro-batch."""
        noised = self.objective.noised(batch.latents, batch.noise, batch.times)
        with self.on.autocast():
            output = self.wrapped(
                noised, batch.times, batch.text, batch.text_mask, batch.quality, mask
            )
        return self.objective.loss(output, batch.latents, batch.noise, batch.times).mean()

    def validate(self) -> dict[str, float]:
        """Losses at fixed t of the mean of the weights, by the log's names."""
        watch = self.config.watch
        clips = self.held_out[: watch.validate_clips]
        times = fixed_times(watch.validate_times)
        with self.ema.swapped(self.network), self.on.autocast():
            losses = losses_at(
                self.network, self.objective, self.folder, clips, times, self.config.fit.batch_size,
                self.config.fit.seed, self.on.device,
            )  # fmt: skip
        mean = sum(losses.values()) / len(losses)
        return {"validation/mean": mean, **{f"validation/t{t}": x for t, x in losses.items()}}

    def demo(self, log: MetricsLog) -> None:
        """Latents of a few prompts at several quality levels, into RUN/demos and the log."""
        watch = self.config.watch
        clips = self.held_out if len(self.held_out) else self.train
        chosen = [self.folder.prompts[int(k)] for k in clips[: watch.demo_clips]]
        prompts = [p for p in chosen for _ in watch.demo_levels]
        levels = [*watch.demo_levels] * len(chosen)
        seeds = [k for k in range(len(chosen)) for _ in watch.demo_levels]
        with self.ema.swapped(self.network), self.on.autocast():
            latents = generate(
                self.network, self.objective, self.folder.texts, prompts, levels, seeds,
                self.config.sample, self.on.device,
            )  # fmt: skip
        if self.on.first:
            path = self.run / "demos" / f"step-{self.step:08d}.safetensors"
            write_latents(path, latents, prompts, levels, seeds, self.folder.scale)
        for latent, prompt, level in zip(latents, prompts, levels, strict=True):
            log.image(self.step, f"{prompt} @ {level:g}", latent.mean(0).T.flip(0))


def fit(
    dataset: Dataset,
    run: Path,
    config: Config,
    until: int | None = None,
    init: Path | None = None,
    quiet: bool = False,
    log: Log | None = None,
) -> Outcome:
    """Train into the folder `run`, or go on with it, up to step `until` (default: config's steps).

    init: weights that a new run begins with, as `qamdt-train` writes them: fine-tuning.

    Raises ConfigError, StoreError and ModelError; see the parts.
    """
    processes = Processes(config.fit)
    with held(run) if processes.first else nullcontext(), Stop() as stop:
        state = Fit(dataset, run, config, processes)
        state.go_on(init)
        end = min(until or config.fit.steps, config.fit.steps)
        speed = Speed(config, state.step, end, processes.world, quiet or not processes.first)
        log = log or speed.log
        _introduce(state, end, log)
        if processes.first:
            write_config(run, config)
        metrics_log = MetricsLog(run, config.watch, state.step, to_plain(config), processes.first)
        batches = Loader(
            state.folder, config, state.objective, state.sampler, state.train, processes.rank,
            processes.world, pin=processes.device.type == "cuda",
        )  # fmt: skip
        loss, recent, steps = math.nan, torch.zeros((), device=processes.device), 0
        try:
            while state.step < end and not processes.any(stop.number is not None):
                total, norm, tokens, bad = state.train_step(batches)
                recent, steps = recent + total, steps + 1
                speed.step(tokens, masks_at(config.masking, state.step - 1, config.fit.steps), bad)
                if state.step % config.watch.log_every == 0 or state.step == end:
                    loss = _finite(processes.mean(recent / steps), state.step)
                    recent, steps = torch.zeros_like(recent), 0
                    numbers = speed.numbers(loss, float(norm), state.sampler.epochs)
                    numbers["lr"] = state.optimizer.param_groups[0]["lr"]
                    metrics_log.scalars(state.step, numbers)
                    log(speed.sentence())
                if _due(state.step, config.watch.validate_every) and len(state.held_out):
                    measured = state.validate()
                    metrics_log.scalars(state.step, measured)
                    log(f"step {state.step}: " + _sentence(measured))
                if _due(state.step, config.watch.demo_every):
                    state.demo(metrics_log)
                if _due(state.step, config.watch.save_every) and state.step < end:
                    _finite(processes.mean(total + 0 * norm), state.step)
                    state.save()
            if state.step > speed.first_step:
                loss = _finite(processes.mean(total + 0 * norm), state.step)
                state.save()
        finally:
            batches.close()
            speed.close()
            metrics_log.close()
        code = stop.exit_code
    return Outcome(state.step, loss, code)


def _introduce(state: Fit, end: int, log: Log) -> None:
    folder, count = state.folder, sum(p.numel() for p in state.network.parameters())
    log("; ".join(f"{name} {n}" for name, n in sorted(folder.funnel.items())))
    log(
        f"{len(state.train)} clips to train on, {len(state.held_out)} for validation; "
        f"{count / 1e6:.2f} M parameters on {state.on.named}"
    )
    if state.step:
        log(f"goes on after step {state.step} of {end}")


def _finite(loss: float, step: int) -> float:
    """Raises ModelError where the loss is no number, before a checkpoint is made of it."""
    if not math.isfinite(loss):
        raise ModelError(
            f"the loss of step {step} is {loss}: lower --lr or --grad-clip-norm, lengthen --warmup, or "
            "train with --precision fp32; the last checkpoint is still good"
        )
    return loss


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _sentence(numbers: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number:.4f}" for name, number in numbers.items())
