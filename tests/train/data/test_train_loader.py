"""Batches: chance of each sample its own, however a step is cut and whoever reads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from fit_builders import small_set, tiny

from qamdt.train.config import Config
from qamdt.train.data.loader import Batch, Loader
from qamdt.train.data.order import DataOrder
from qamdt.train.data.randomness import masks_at, randomness_of, ratio_at
from qamdt.train.data.training_set import TrainingSet
from qamdt.train.diffusion.objective import Objective


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    dataset, _ = small_set(tmp_path_factory.mktemp("set"), clips=50)
    return TrainingSet.open(dataset, tiny().data, tiny().prompt)


def loader_of(
    folder: TrainingSet, config: Config, rank: int = 0, world: int = 1
) -> tuple[Loader, DataOrder]:
    split = folder.split(False)
    count = config.fit.batch_size * config.fit.accumulate * world
    sampler = DataOrder(np.ones(len(split)), config.fit.seed, count)
    return Loader(folder, config, Objective(config.objective), sampler, split, rank, world), sampler


def rows(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """Every sample of some batches, by itself."""
    found = []
    for b in batches:
        for k, clip in enumerate(b.clip_ids):
            mask = b.mask.keep[k].tolist() if b.mask else None
            text = b.text[k][b.text_mask[k]].tolist()
            level = float(b.quality[k])
            level = -1.0 if math.isnan(level) else level
            found.append(
                (
                    clip,
                    b.noise[k].tolist(),
                    float(b.times[k]),
                    text,
                    level,
                    mask,
                    b.latents[k].tolist(),
                )
            )
    return found


def test_the_order_is_the_same_with_workers_and_without(folder: TrainingSet) -> None:
    one, sampler = loader_of(folder, tiny())
    alone = [next(one) for _ in range(15)]  # over the end of an epoch
    two, _ = loader_of(folder, tiny(data={"loader_workers": 2}))
    shared = [next(two) for _ in range(15)]
    two.close()
    assert rows(alone) == rows(shared)
    assert sampler.step == 15 and sampler.epochs > 1


def test_micro_batches_and_processes_cut_a_step_without_changing_it(folder: TrainingSet) -> None:
    big, _ = loader_of(folder, tiny(fit={"batch_size": 8}))
    step = rows([next(big)])
    cut, sampler = loader_of(folder, tiny(fit={"batch_size": 2, "accumulate": 4}))
    micro = [next(cut) for _ in range(3)]
    assert sampler.step == 0  # the step is not whole yet
    micro.append(next(cut))
    assert sampler.step == 1 and rows(micro) == step
    ranks = [
        loader_of(folder, tiny(fit={"batch_size": 2, "accumulate": 2}), r, 2)[0] for r in (0, 1)
    ]
    spread = [next(ranks[r]) for _ in range(2) for r in (0, 1)]
    assert rows(spread) == step


def test_a_state_is_of_steps_done_not_of_what_was_read_ahead(folder: TrainingSet) -> None:
    config = tiny(data={"loader_workers": 2}, fit={"batch_size": 3})
    whole, sampler = loader_of(folder, config)
    for _ in range(5):
        next(whole)
    state = sampler.state()
    after = rows([next(whole) for _ in range(4)])
    whole.close()
    split = folder.split(False)
    sampler = DataOrder(np.ones(len(split)), config.fit.seed, 3)
    sampler.load_state(state)
    resumed = Loader(folder, config, Objective(config.objective), sampler, split)
    assert rows([next(resumed) for _ in range(4)]) == after
    resumed.close()


def test_dropout_is_of_each_sample_and_of_text_and_quality_apart() -> None:
    config, n = tiny(), 4000
    objective = Objective(config.objective)
    drawn = [randomness_of(config, objective, k // 8, k % 8, 0.5) for k in range(n)]
    text = np.array([d.drop_text for d in drawn])
    quality = np.array([d.drop_quality for d in drawn])
    sigma = (0.1 * 0.9 / n) ** 0.5
    for dropped in (text, quality):
        assert abs(dropped.mean() - 0.1) < 3 * sigma
    assert abs((text & quality).mean() - 0.01) < 3 * (0.01 * 0.99 / n) ** 0.5  # independent
    steps = text.reshape(-1, 8)
    assert ((steps.sum(1) > 0) & (steps.sum(1) < 8)).any()  # not one lot for a whole step


def test_dropped_samples_get_the_empty_text_and_the_null_quality(folder: TrainingSet) -> None:
    config = tiny(data={"text_dropout": 1.0, "quality_dropout": 1.0})
    batch = next(loader_of(folder, config)[0])
    null = folder.texts.states("")
    assert batch.quality.isnan().all() and batch.text_mask.sum(1).tolist() == [len(null)] * 4
    assert torch.equal(batch.text[0], null)
    assert len(null) >= 1


def test_one_ratio_a_step_between_the_bounds_and_none_at_the_end(folder: TrainingSet) -> None:
    masking = {"mask_low": 0.3, "mask_high": 0.5, "unmasked_share": 0.25}
    config = tiny(masking=masking, fit={"steps": 8})
    ratios = [ratio_at(config.masking, 0, step) for step in range(500)]
    assert 0.3 <= min(ratios) < 0.31 and 0.49 < max(ratios) <= 0.5
    batches = [next(loader) for loader, _ in [loader_of(folder, config)] for _ in range(8)]
    masked = [b.mask is not None for b in batches]
    assert masked == [True] * 6 + [False] * 2
    assert [masks_at(config.masking, k, 8) for k in range(8)] == masked
    patches = config.model.patches
    for step, batch in enumerate(batches[:6]):
        assert batch.mask is not None
        hidden = batch.mask.hidden.sum(1).tolist()
        assert hidden == [math.floor(patches * ratio_at(config.masking, 1234, step))] * 4
        assert not torch.equal(batch.mask.hidden[0], batch.mask.hidden[1]) or patches < 4


def test_score_times_follow_each_clips_own_similarity() -> None:
    config = tiny(objective={"timesteps": "score"})
    objective = Objective(config.objective)
    times = {
        s: np.mean([float(randomness_of(config, objective, k, 0, s).time) for k in range(600)])
        for s in (-0.5, 0.5)
    }
    assert times[-0.5] > times[0.5] + 100  # a caption that does not fit trains the noisy end
