"""The training loop: `fit(dataset, run, config)`.

Each step (trainer.py), then log, loss at fixed t, demos and checkpoint where they are due.

Run it again and it goes on: 20 steps are 10 steps, a stop and 10 steps, bit for bit on a CPU, whatever
the number of loader workers, in the middle of an epoch. Under `accelerate launch` the same function
runs on several processes (DDP, or FSDP2 by accelerate's own configuration).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from ...pipeline.dataset import Dataset
from ...schemas.errors import ModelError
from ..config import Config, training_sections
from ..data.loader import Loader
from ..data.randomness import masks_at
from .distributed import Distributed
from .metrics_log import MetricsLog
from .run_folder import locked, write_config
from .signals import SignalHandler
from .throughput import Throughput
from .trainer import Trainer

Log = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended. loss: NaN where no step was done; exit_code: 0, or 128 + the signal."""

    step: int
    loss: float
    exit_code: int


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
    log: takes the lines that are printed otherwise.

    Raises ConfigError, StoreError and ModelError; see the parts.
    """
    distributed = Distributed(config.fit)
    with locked(run) if distributed.is_main else nullcontext(), SignalHandler() as signals:
        trainer = Trainer(dataset, run, config, distributed)
        trainer.resume(init)
        end = min(until or config.fit.steps, config.fit.steps)
        hidden = quiet or not distributed.is_main
        throughput = Throughput(config, trainer.step, end, distributed.world, hidden)
        log = log or throughput.log
        _log_start(trainer, end, log)
        if distributed.is_main:
            write_config(run, config)
        metrics_log = MetricsLog(
            run, config.watch, trainer.step, training_sections(config), distributed.is_main
        )
        batches = Loader(
            trainer.clips, config, trainer.objective, trainer.order, trainer.train,
            distributed.rank, distributed.world, pin=distributed.device.type == "cuda",
        )  # fmt: skip
        loss, recent, steps = math.nan, torch.zeros((), device=distributed.device), 0
        last = torch.zeros((), device=distributed.device)
        try:
            while trainer.step < end and not distributed.any(signals.number is not None):
                result = trainer.train_step(batches)
                recent, steps = recent + result.loss, steps + 1
                last = result.loss + 0 * result.gradient_norm  # NaN where either is
                masked = masks_at(config.masking, trainer.step - 1, config.fit.steps)
                throughput.step(result.text_tokens, masked, result.replaced)
                if trainer.step % config.watch.log_every == 0 or trainer.step == end:
                    loss = _finite(distributed.mean(recent / steps), trainer.step)
                    recent, steps = torch.zeros_like(recent), 0
                    norm, epochs = float(result.gradient_norm), trainer.order.epochs
                    metrics = throughput.metrics(loss, norm, epochs)
                    metrics["lr"] = trainer.optimizer.param_groups[0]["lr"]
                    metrics_log.scalars(trainer.step, metrics)
                    log(throughput.summary())
                if _due(trainer.step, config.watch.validate_every) and len(trainer.validation):
                    losses = trainer.validate()
                    metrics_log.scalars(trainer.step, losses)
                    log(f"step {trainer.step}: " + _listed(losses))
                if _due(trainer.step, config.watch.demo_every):
                    trainer.demo(metrics_log)
                if _due(trainer.step, config.watch.save_every) and trainer.step < end:
                    _finite(distributed.mean(last), trainer.step)
                    trainer.save()
            if trainer.step > throughput.first_step:
                loss = _finite(distributed.mean(last), trainer.step)
                trainer.save()
        finally:
            batches.close()
            throughput.close()
            metrics_log.close()
    return Outcome(trainer.step, loss, signals.exit_code)


def _log_start(trainer: Trainer, end: int, log: Log) -> None:
    parameters = sum(p.numel() for p in trainer.network.parameters())
    log("; ".join(f"{name} {n}" for name, n in sorted(trainer.clips.funnel.items())))
    log(
        f"{len(trainer.train)} clips to train on, {len(trainer.validation)} for validation; "
        f"{parameters / 1e6:.2f} M parameters on {trainer.distributed.description}"
    )
    if trainer.step:
        log(f"goes on after step {trainer.step} of {end}")


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


def _listed(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number:.4f}" for name, number in numbers.items())
