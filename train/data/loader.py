"""Batches: clips read and chance drawn, here or in worker processes, in the same order.

    for batch in Loader(folder, config, objective, sampler, rank, world): ...

A batch is one micro-batch of this process. `sampler` is moved on when the last batch of a step is
handed out, not when a worker reads ahead, so that its state is always that of the steps done.
"""

from __future__ import annotations

import copy
import dataclasses
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Indexed

from ..config import Config
from ..diffusion.objective import Objective
from ..network.masking import Mask
from .randomness import StepRandomness, draw
from .sampler import Sampler
from .text_states import NULL_TEXT, padded
from .training_set import TrainingSet, UnreadableClip

GRACE_S = 30
TRIES = 8  # other clips tried in place of one that cannot be read, under skip_bad


class Place(NamedTuple):
    """Which clip stands where: its index in the set, step, place in the step (over all processes)."""

    clip: int
    step: int
    place: int


@dataclass(frozen=True)
class Batch:
    """What a forward pass needs. B samples; the mask is None where nothing is masked.

    text: [B, S, E]; text_mask: [B, S], true = a real token. quality: [B], NaN = null level. bad: clips
    that could not be read and were replaced.
    """

    clip_ids: list[str]
    latents: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    text: torch.Tensor
    text_mask: torch.Tensor
    quality: torch.Tensor
    mask: Mask | None
    bad: list[str]

    def to(self, device: torch.device) -> Batch:
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=True)
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), torch.Tensor)
        }
        if self.mask is not None:
            moved["mask"] = self.mask.to(device)
        return dataclasses.replace(self, **moved)


class Samples(Indexed[tuple[Any, ...]]):
    """One sample a Place: latent, text states, level and draws. Runs in the workers."""

    def __init__(
        self, folder: TrainingSet, split: np.ndarray, config: Config, objective: Objective
    ) -> None:
        self._folder, self._split = folder, split
        self._config, self._objective = config, objective

    def __getitem__(self, place: Place) -> tuple[Any, ...]:
        index, latent, bad = self._latent(place)
        known = self._folder.similarity[index]
        chance = draw(self._config, self._objective, place.step, place.place, float(known))
        text = (
            self._folder.texts.states(NULL_TEXT) if chance.drop_text else self._folder.text(index)
        )
        level = float("nan") if chance.drop_quality else self._folder.quality(index)
        return self._folder.clip_ids[index], latent, text, level, chance, bad

    def _latent(self, place: Place) -> tuple[int, torch.Tensor, list[str]]:
        """The latent, or another clip's under skip_bad: which one, step and place decide."""
        index, bad = place.clip, list[str]()
        others = np.random.default_rng((self._config.fit.seed, 4, place.step, place.place))
        while True:
            try:
                return index, self._folder.latent(index), bad
            except UnreadableClip as error:
                bad.append(str(error))
                if not self._config.data.skip_bad or len(bad) > TRIES:
                    raise
                index = int(others.choice(self._split))


def collate(samples: Sequence[tuple[Any, ...]]) -> Batch:
    """Samples as one batch, texts padded to the longest."""
    ids, latents, texts, levels, chances, bad = zip(*samples, strict=True)
    draws: Sequence[StepRandomness] = chances
    text, text_mask = padded(texts)
    masks = [d.mask for d in draws if d.mask is not None]
    return Batch(
        clip_ids=list(ids),
        latents=torch.stack(latents),
        noise=torch.stack([d.noise for d in draws]),
        times=torch.cat([d.time for d in draws]),
        text=text,
        text_mask=text_mask,
        quality=torch.tensor(levels, dtype=torch.float32),
        mask=Mask(*map(torch.cat, zip(*masks, strict=True))) if masks else None,
        bad=[line for lines in bad for line in lines],
    )


def places(
    sampler: Sampler, split: np.ndarray, config: Config, rank: int, world: int
) -> Iterator[list[Place]]:
    """The micro-batches of this process, for ever. Place k of a step is the same sample however the
    step is cut: micro-batch, then process, then batch."""
    size = config.fit.batch_size
    while True:
        step = sampler.step
        clips = split[sampler.take()]
        for micro in range(config.fit.accumulate):
            first = (micro * world + rank) * size
            yield [Place(int(clips[k]), step, k) for k in range(first, first + size)]


class Loader:
    """An endless iterator of Batches of one split. Close it to end its workers."""

    def __init__(
        self,
        folder: TrainingSet,
        config: Config,
        objective: Objective,
        sampler: Sampler,
        split: np.ndarray,
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
    ) -> None:
        self._sampler, self._micro, self._left = sampler, config.fit.accumulate, 0
        ahead = copy.deepcopy(sampler)
        workers = config.data.loader_workers
        loader: DataLoader[Any] = DataLoader(
            Samples(folder, split, config, objective),
            batch_sampler=_Plan(places(ahead, split, config, rank, world)),
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=_normed,
            pin_memory=pin,
            prefetch_factor=2 if workers else None,
        )
        self._batches: Iterator[Batch] | None = iter(loader)

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            raise StopIteration
        try:
            batch = next(self._batches)
        except UnreadableClip as error:  # a worker's comes with its traceback in the text
            self.close()
            message = str(error).strip().rpartition("UnreadableClip: ")[2]
            raise UnreadableClip(message) from error
        self._left += 1
        if self._left == self._micro:  # the step is whole
            self._left = 0
            self._sampler.take()
        return batch

    def close(self) -> None:
        """End the workers. Nothing comes afterwards."""
        end = getattr(self._batches, "_shutdown_workers", None)  # else only when it is collected
        if end is not None:
            end()
        self._batches = None


class _Plan:
    """The generator of places as the sampler that DataLoader asks for."""

    def __init__(self, planned: Iterator[list[Place]]) -> None:
        self._planned = planned

    def __iter__(self) -> Iterator[list[Place]]:
        return self._planned


def _normed(worker: int) -> None:
    """In a worker: one thread, and the signals that end a run are the trainer's to answer.

    SIGTERM, which schedulers send to every process, leaves it GRACE_S to finish the step.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(GRACE_S) and None)
