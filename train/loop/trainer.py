"""A run, open: data, network, optimiser and EMA, and what one step does with them.

    sample    noise, t, mask and dropout of every sample, by (seed, step, place)   randomness.py
    noise     x_t from latent, noise and t                                          objective.py
    predict   [quality token; visible patches] -> output, masked or not                 model.py
    step      gradients of all micro-batches, clipped; AdamW; EMA               optim.py, ema.py

Shapes: latents and noise [B, C, T, F], t and quality [B], text [B, S, E].
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...pipeline.dataset import Dataset
from ...schemas.errors import ConfigError
from ..config import Config, training_sections
from ..data.loader import Batch, Loader
from ..data.order import DataOrder, expected_counts
from ..data.randomness import seed_step
from ..data.training_set import TrainingSet
from ..diffusion.objective import Objective
from ..network.masking import Mask
from ..network.model import QAMDT
from .checkpoint import EMA, MODEL, OPTIMIZER, read_tensors, save, weights_file
from .demos import sample_prompts, write_latents
from .distributed import Distributed
from .ema import Ema
from .metrics_log import MetricsLog
from .optim import optimizer_of, rate_at, set_rate
from .run_folder import checkpoint_to_resume
from .state_dicts import (
    ema_state,
    load_ema_state,
    load_model_state,
    load_optimizer_state,
    model_state,
    optimizer_state,
)
from .validation import fixed_times, losses_at


class StepResult(NamedTuple):
    """What a step of the optimiser did. loss, norm: scalars on the device."""

    loss: Tensor
    gradient_norm: Tensor
    text_tokens: int  # of the longest text
    replaced: int  # clips that could not be read


class Trainer:
    """One run, open, and the step it stands at."""

    def __init__(
        self, dataset: Dataset, run: Path, config: Config, distributed: Distributed
    ) -> None:
        """Raises ConfigError and StoreError where data and settings do not fit."""
        self.run, self.config, self.distributed = run, config, distributed
        self.clips = clips = TrainingSet.open(dataset, config.data, config.prompt)
        clips.check(config.model.shape, config.model.text_width)
        self.train, self.validation = clips.split(False), clips.split(True)
        count = config.fit.batch_size * config.fit.accumulate * distributed.world
        counts = expected_counts(config.data, clips.levels[self.train], clips.pmos[self.train])
        self.order = DataOrder(counts, config.fit.seed, count)
        self.objective = Objective(config.objective)
        if config.objective.timesteps == "score" and np.isnan(clips.similarity).all():
            raise ConfigError(
                "timesteps = 'score': no clip has a similarity of audio and caption; run qamdt-curate "
                "refine, or choose uniform or logit-normal"
            )

        torch.manual_seed(config.fit.seed)  # the same weights on every process
        self.network = QAMDT(config.model, recompute=config.fit.recompute).to(distributed.device)
        optimizer = optimizer_of(self.network, config.optim)
        if config.fit.compile:
            self.network.compile(dynamic=True)  # masked lengths change from step to step
        self.wrapped, self.optimizer = distributed.prepare(self.network, optimizer)
        self.network = distributed.unwrapped(self.wrapped)
        self.ema = Ema(self.network, config.optim.ema)
        self.step = 0
        self.digest = clips.digest()

    def resume(self, init: Path | None) -> None:
        """Load the run folder's last checkpoint; in a new run, the weights `init`."""
        checkpoint = checkpoint_to_resume(
            self.run, self.config, self.distributed.world, self.digest
        )
        if checkpoint is None:
            if init is not None:
                load_model_state(self.network, read_tensors(weights_file(init)))
                self.ema = Ema(self.network, self.config.optim.ema)
            return
        load_model_state(self.network, checkpoint.tensors(MODEL))
        ema_weight = checkpoint.state["ema_weight"]
        load_ema_state(self.network, self.ema, checkpoint.tensors(EMA), ema_weight)
        load_optimizer_state(self.network, self.optimizer, checkpoint.tensors(OPTIMIZER))
        self.order.load_state(checkpoint.state["order"])
        self.step = checkpoint.step

    def save(self) -> None:
        """Write a checkpoint; all processes gather, the main one writes."""
        files = {
            MODEL: model_state(self.network),
            EMA: ema_state(self.network, self.ema),
            OPTIMIZER: optimizer_state(self.network, self.optimizer),
        }
        state = {
            "config": training_sections(self.config), "world": self.distributed.world,
            "data": self.digest, "order": self.order.state(), "ema_weight": self.ema.weight,
            "latents": {"scale": self.clips.scale, "codec": self.clips.codec},
            "text": {"encoder": self.clips.texts.encoder},
        }  # fmt: skip
        if self.distributed.is_main:
            save(self.run, self.step, files, state, self.config.watch.keep)
        self.distributed.wait()

    def train_step(self, batches: Loader) -> StepResult:
        """One step of the optimiser: all of its micro-batches."""
        config, accumulate = self.config, self.config.fit.accumulate
        seed_step(config.fit.seed, self.step, self.distributed.rank)
        rate = rate_at(config.optim, config.model.width, self.step, config.fit.steps)
        set_rate(self.optimizer, rate)
        total, tokens, replaced = torch.zeros((), device=self.distributed.device), 0, 0
        for micro in range(accumulate):
            batch = next(batches).to(self.distributed.device)
            passes = self.passes(batch)
            for number, mask in enumerate(passes, 1):
                last = micro == accumulate - 1 and number == len(passes)
                with nullcontext() if last else self.distributed.unsynced(self.wrapped):
                    loss = self.loss(batch, mask) / (accumulate * len(passes))
                    self.distributed.backward(loss)
                total += loss.detach()
            tokens = max(tokens, batch.text.shape[1])
            replaced += len(batch.bad)
        norm = self.distributed.clip_grad_norm(self.wrapped, config.optim.grad_clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network)
        self.step += 1
        return StepResult(total, norm, tokens, replaced)

    def passes(self, batch: Batch) -> list[Mask | None]:
        """What is masked in each forward pass; the masked one is last, as it uses all weights."""
        if batch.mask is not None and self.config.masking.masking == "masked+full":
            return [None, batch.mask]
        return [batch.mask]

    def loss(self, batch: Batch, mask: Mask | None) -> Tensor:
        """The mean loss of one pass over a micro-batch."""
        noised = self.objective.noised(batch.latents, batch.noise, batch.times)
        with self.distributed.autocast():
            output = self.wrapped(
                noised, batch.times, batch.text, batch.text_mask, batch.quality, mask
            )
        return self.objective.loss(output, batch.latents, batch.noise, batch.times).mean()

    def validate(self) -> dict[str, float]:
        """Losses at fixed t of the EMA weights, by the log's names."""
        watch = self.config.watch
        clips = self.validation[: watch.validate_clips]
        times = fixed_times(watch.validate_times)
        with self.ema.swapped(self.network), self.distributed.autocast():
            losses = losses_at(
                self.network, self.objective, self.clips, clips, times, self.config.fit.batch_size,
                self.config.fit.seed, self.distributed.device,
            )  # fmt: skip
        mean = sum(losses.values()) / len(losses)
        return {"validation/mean": mean, **{f"validation/t{t}": x for t, x in losses.items()}}

    def demo(self, log: MetricsLog) -> None:
        """Latents of a few prompts at several quality levels, into RUN/demos and the log."""
        watch = self.config.watch
        indices = self.validation if len(self.validation) else self.train
        texts = [self.clips.prompts[int(k)] for k in indices[: watch.demo_clips]]
        prompts = [text for text in texts for _ in watch.demo_levels]
        levels = [*watch.demo_levels] * len(texts)
        seeds = [k for k in range(len(texts)) for _ in watch.demo_levels]
        with self.ema.swapped(self.network), self.distributed.autocast():
            latents = sample_prompts(
                self.network, self.objective, self.clips.texts, prompts, levels, seeds,
                self.config.sample, self.distributed.device,
            )  # fmt: skip
        if self.distributed.is_main:
            path = self.run / "demos" / f"step-{self.step:08d}.safetensors"
            write_latents(path, latents, prompts, levels, seeds, self.clips.scale)
        for latent, prompt, level in zip(latents, prompts, levels, strict=True):
            log.image(self.step, f"{prompt} @ {level:g}", latent.mean(0).T.flip(0))
