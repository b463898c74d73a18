"""The training loop: steps, an evaluation an epoch, the best weights kept, a state to resume from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ...schemas.errors import ModelError
from ..pmos.agreement import pearson, rmse, spearman
from ..pmos.wav2vec2 import Hearing, predict
from .batches import ALIKE_S, crops, epoch_batches
from .config import FinetuneConfig
from .network import optimizer_of, set_rates, to_train
from .state import Place, load_state, save_best, save_state
from .waves import Waves

CLIP_NORM = 1.0
HUBER_DELTA = 0.5  # MOS
TOGETHER = 64  # sounds scored at once in an evaluation

Scores = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Lesson:
    """What there is to learn: waves and labels, and which of them are for train and for dev."""

    waves: Waves
    mos: np.ndarray
    train: np.ndarray
    dev: np.ndarray


class Trainer:
    """Trains a network on a Lesson, going on where an earlier one ended in `folder`."""

    def __init__(
        self,
        network: Any,
        lesson: Lesson,
        front_end: Hearing,
        config: FinetuneConfig,
        folder: Path,
        device: str,
    ) -> None:
        self._network = network.to(device)
        self._lesson, self._hearing, self._config = lesson, front_end, config
        self._folder, self._device = folder, device
        self._optimizer = optimizer_of(network, config)
        batches = -(-len(lesson.train) // config.batch_size)
        self._epoch_steps = -(-batches // config.accumulate)
        self.steps = self._epoch_steps * config.epochs
        self.place = load_state(folder, network, self._optimizer)

    def run(self, advance: Callable[[int], None], log: Callable[[str], None]) -> None:
        """Train to the end; then the best weights are in `folder`. advance(1): a step is done."""
        place, batches = self.place, self._batches()  # of the epoch in which `place` lies
        to_train(self._network, self._config)
        while place.step < self.steps and not stopped(place, self._config):
            at = place.step % self._epoch_steps
            if at == 0:
                batches = self._batches()
            count = self._config.accumulate
            place.loss_sum += self._step(batches[at * count : (at + 1) * count])
            place.step += 1
            advance(1)
            if place.step % self._epoch_steps == 0:
                log(self._end_of_epoch())
                save_state(self._folder, place, self._network, self._optimizer)
            elif place.step % self._config.save_steps == 0:
                save_state(self._folder, place, self._network, self._optimizer)

    def _batches(self) -> list[np.ndarray]:
        """This epoch's batches of numbers of waves."""
        lesson, config = self._lesson, self._config
        most = self._hearing.most
        lengths = [min(most, lesson.waves.lengths[k]) for k in lesson.train]
        alike = round(ALIKE_S * self._hearing.rate_hz)
        chosen = epoch_batches(lengths, config.batch_size, alike, config.seed, self._epoch)
        return [lesson.train[batch] for batch in chosen]

    @property
    def _epoch(self) -> int:
        return self.place.step // self._epoch_steps

    def _step(self, batches: Sequence[np.ndarray]) -> float:
        """One step of the optimizer over one or more batches; returns the mean loss."""
        config, step = self._config, self.place.step
        # Dropout of a step depends on the step alone: a run that was resumed draws the same.
        torch.manual_seed(int(np.random.default_rng((config.seed, step)).integers(2**62)))
        set_rates(self._optimizer, step, self.steps, config.warmup)
        sounds, total = sum(len(b) for b in batches), 0.0
        for batch in batches:
            loss = self._loss(batch) / sounds
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise ModelError(f"the loss of step {step} is not finite: lower the learning rates")
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), CLIP_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _loss(self, batch: np.ndarray) -> torch.Tensor:
        """The sum of the losses of a batch."""
        crops_of_batch = crops(
            self._lesson.waves, batch.tolist(), self._hearing, self._config.seed, self._epoch
        )
        wanted = torch.from_numpy(self._lesson.mos[batch]).float().to(self._device)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._device == "cuda"):
            output = self._network(torch.from_numpy(crops_of_batch).to(self._device)).logits[:, 0]
        if self._config.loss == "l1":
            return F.l1_loss(output.float(), wanted, reduction="sum")
        return F.huber_loss(output.float(), wanted, reduction="sum", delta=HUBER_DELTA)

    def _end_of_epoch(self) -> str:
        """Measure on dev, keep the weights if they are the best; says it in a line."""
        place, lesson = self.place, self._lesson
        self._network.eval()
        score = partial(predict, self._network, self._hearing)
        scores = score_all(score, lesson.waves, lesson.dev)
        to_train(self._network, self._config)
        table = pd.DataFrame({"mos": lesson.mos[lesson.dev], "score": scores})
        entry = {
            "epoch": place.step // self._epoch_steps,
            "step": place.step,
            "loss": place.loss_sum / self._epoch_steps,
            "pearson": pearson(table),
            "spearman": spearman(table),
            "rmse": rmse(table),
        }
        place.history.append(entry)
        place.loss_sum = 0.0
        best = best_of(place, self._config) == len(place.history) - 1
        if best:
            save_best(self._folder, self._network)
        return (
            f"epoch {entry['epoch']}: loss {entry['loss']:.3f}, dev pearson {entry['pearson']:.3f}"
            f" spearman {entry['spearman']:.3f} rmse {entry['rmse']:.3f}{' (best)' if best else ''}"
        )


def score_all(score: Scores, waves: Waves, which: np.ndarray) -> np.ndarray:
    """Scores float32 [n] of the sounds `which`, whole, some at a time."""
    parts = [which[at : at + TOGETHER] for at in range(0, len(which), TOGETHER)]
    scores = [score([waves.wave(k) for k in part]) for part in parts]
    return np.concatenate(scores) if scores else np.zeros(0, np.float32)


def best_of(place: Place, config: FinetuneConfig) -> int:
    """Which entry of the history is the best; the first of equals. NaN is worst."""
    sign = 1 if config.aim == "rmse" else -1
    values = [sign * entry[config.aim] for entry in place.history]
    return min(range(len(values)), key=lambda k: math.inf if math.isnan(values[k]) else values[k])


def stopped(place: Place, config: FinetuneConfig) -> bool:
    """Whether the best epoch lies `patience` epochs back."""
    if not place.history:
        return False
    return len(place.history) - 1 - best_of(place, config) >= config.patience
