"""The loop: resumed bit for bit, cut into micro-batches, stopped by signals, and honest in its log."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fit_builders import SHAPE, replace, small_set, tiny
from safetensors import safe_open

from qamdt.pipeline.dataset import Dataset
from qamdt.schemas.errors import ConfigError, DatasetBusy, ModelError, StoreError
from qamdt.schemas.tables import Caption
from qamdt.train.config import Config
from qamdt.train.loop.checkpoint import EMA, MODEL, OPTIMIZER, latest, read_tensors, weights_file
from qamdt.train.loop.fit import Outcome
from qamdt.train.loop.fit import fit as train
from qamdt.train.loop.metrics_log import read_log
from qamdt.train.loop.run_folder import held


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_set(tmp_path_factory.mktemp("set"))[0]


def fit(dataset: Dataset, run: Path, config: Config, **options: Any) -> Outcome:
    return train(dataset, run, config, **{"quiet": True, "log": lambda line: None, **options})


def assert_same(one: Path, other: Path, exact: bool = True) -> None:
    """Two runs ended with the same weights, mean, moments, data order and learning rate."""
    a, b = latest(one), latest(other)
    assert a and b and a.step == b.step
    for name in (MODEL, EMA, OPTIMIZER):
        left, right = a.tensors(name), b.tensors(name)
        assert left.keys() == right.keys()
        for key in left:
            if exact:
                assert torch.equal(left[key], right[key]), (name, key)
            else:
                torch.testing.assert_close(left[key], right[key], rtol=1e-5, atol=1e-6)
    if exact:
        same = ("order", "ema_weight", "data", "world", "config")
        assert {k: a.state[k] for k in same} == {k: b.state[k] for k in same}


def logged(run: Path, name: str) -> dict[int, float]:
    return {line["step"]: line[name] for line in read_log(run / "log.jsonl") if name in line}


HARD = {
    "masking": {"masking": "masked+full", "unmasked_share": 0.2},
    "optim": {"lr": 1e-3, "warmup": 12, "schedule": "cosine", "ema": 0.9},
    "fit": {"accumulate": 2, "batch_size": 3, "steps": 20},
    "data": {"quality_sampling": "balanced"},
    "watch": {"log_every": 1, "save_every": 4},
}


def test_20_steps_are_10_saved_loaded_and_10_more_bit_for_bit(
    dataset: Dataset, tmp_path: Path
) -> None:
    """With accumulation, both passes, mid-epoch, and workers 0 and 2 taking turns."""
    config = tiny(**HARD)
    fit(dataset, tmp_path / "whole", config)
    workers = config.override("data", {"loader_workers": 2})
    assert fit(dataset, tmp_path / "parts", workers, until=10).step == 10
    order = latest(tmp_path / "parts").state["order"]
    assert order["position"] not in (0, order["clips"])  # in the middle of an epoch
    assert fit(dataset, tmp_path / "parts", config, until=13).step == 13
    assert fit(dataset, tmp_path / "parts", workers).step == 20
    a, b = latest(tmp_path / "whole"), latest(tmp_path / "parts")
    assert a.tensors(MODEL).keys() and a.state["config"]["data"]["loader_workers"] == 0
    b.state["config"]["data"]["loader_workers"] = 0
    for name in (MODEL, EMA, OPTIMIZER):
        left, right = a.tensors(name), b.tensors(name)
        assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
    assert a.state == b.state
    for name in ("loss", "lr", "gradient_norm"):
        one, two = logged(tmp_path / "whole", name), logged(tmp_path / "parts", name)
        assert one == two and sorted(one) == list(range(1, 21)), name


def test_micro_batches_make_the_step_of_one_big_batch(dataset: Dataset, tmp_path: Path) -> None:
    for name, cut in (("big", (6, 1)), ("cut", (2, 3))):
        config = tiny(fit={"batch_size": cut[0], "accumulate": cut[1], "steps": 3})
        fit(dataset, tmp_path / name, config)
    a, b = (latest(tmp_path / name).tensors(EMA) for name in ("big", "cut"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_is_told_by_the_exit_code(
    dataset: Dataset, tmp_path: Path, number: int, code: int
) -> None:
    config = tiny(watch={"log_every": 1, "save_every": 100})

    def stopper(at: str) -> Callable[[str], None]:
        def say(line: str) -> None:
            if line.startswith(f"step {at}/"):
                os.kill(os.getpid(), number)

        return say

    before = signal.getsignal(number)
    outcome = fit(dataset, tmp_path / "run", config, log=stopper("6"))
    assert (outcome.step, outcome.exit_code) == (6, code)
    assert latest(tmp_path / "run").step == 6
    assert signal.getsignal(number) is before
    assert fit(dataset, tmp_path / "run", config).exit_code == 0
    fit(dataset, tmp_path / "whole", config)
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_a_run_goes_on_only_with_what_it_was_begun_with(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(dataset, run, tiny(), until=2)
    for section, name, value in (
        ("optim", "ema", 0.5),
        ("fit", "seed", 1),
        ("fit", "accumulate", 2),
        ("model", "depth", 5),
        ("data", "text_dropout", 0.5),
        ("objective", "prediction", "v"),
        ("masking", "mask_high", 0.9),
    ):
        with pytest.raises(ConfigError, match=rf"\[{section}\] {name}: .* -> {value}"):
            fit(dataset, run, tiny().override(section, {name: value}))
    other, made = small_set(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="data set"):
        fit(other, run, tiny())
    state = latest(run).folder / "state.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "world": 2}))
    with pytest.raises(ConfigError, match="processes: 2 -> 1"):
        fit(dataset, run, tiny())
    state.write_text(json.dumps(content))
    assert fit(dataset, run, tiny(fit={"steps": 3}, watch={"log_every": 1})).step == 3
    score = {"timesteps": "score"}
    replace(
        other,
        Caption,
        "bare",
        [Caption(clip_id=m.clip_id, refined_caption=m.caption) for m in made],
    )
    with pytest.raises(ConfigError, match="no clip has a similarity"):
        fit(other, tmp_path / "new", tiny(objective=score))
    with held(run), pytest.raises(DatasetBusy):
        fit(dataset, run, tiny())


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = tiny(optim={"lr": 1e30, "warmup": 0, "grad_clip_norm": 0.0}, watch={"save_every": 1})
    with pytest.raises(ModelError, match="lower --lr"):
        fit(dataset, tmp_path, config)
    good = latest(tmp_path)
    assert good is None or all(t.isfinite().all() for t in good.tensors(EMA).values())


def test_the_log_holds_validation_at_fixed_t_and_demos_at_each_level(
    dataset: Dataset, tmp_path: Path
) -> None:
    watch = {
        "validate_every": 10, "validate_clips": 9, "validate_times": 2, "demo_every": 20,
        "demo_levels": (1.0, 4.5), "tensorboard": True,
    }  # fmt: skip
    fit(dataset, tmp_path, tiny(watch=watch))
    losses = {t: logged(tmp_path, f"validation/t{t}") for t in (250, 750)}
    assert all(sorted(found) == [10, 20] for found in losses.values())
    mean = logged(tmp_path, "validation/mean")
    assert mean[20] == pytest.approx((losses[250][20] + losses[750][20]) / 2)
    assert mean[20] < mean[10] < 1.1  # a loss without chance in it falls
    with safe_open(tmp_path / "demos" / "step-00000020.safetensors", "pt") as file:
        made = json.loads(file.metadata()["made"])
        assert file.get_tensor("latents").shape == (4, *SHAPE)
    assert [m["quality"] for m in made] == [1.0, 4.5, 1.0, 4.5]
    assert [m["seed"] for m in made] == [0, 0, 1, 1]
    (events,) = (tmp_path / "tensorboard").glob("events*")
    assert events.stat().st_size > 2000
    line = read_log(tmp_path / "log.jsonl")[0]
    assert line["clips_a_second"] > 0 and line["tflops"] > 0 and "mfu" not in line


def test_mfu_is_told_where_a_peak_is_given(dataset: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    config = tiny(watch={"peak_tflops": 0.1}, fit={"steps": 5})
    fit(dataset, tmp_path, config, log=said.append)
    line = read_log(tmp_path / "log.jsonl")[0]
    assert line["mfu"] == pytest.approx(line["tflops"] / 0.1)
    assert any("MFU" in text and "left" in text for text in said)


def test_the_log_forgets_steps_that_a_killed_run_did_not_save(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = tiny(watch={"log_every": 1})
    fit(dataset, tmp_path, config, until=4)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 5, "loss": 9.0}\n{"step": 6, "lo')
    fit(dataset, tmp_path, config, until=6)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert logged(tmp_path, "loss")[5] != 9.0


def test_fine_tuning_begins_with_the_mean_of_another_run(dataset: Dataset, tmp_path: Path) -> None:
    fit(dataset, tmp_path / "first", tiny(fit={"steps": 4}))
    still = tiny(optim={"lr": 0.0, "weight_decay": 0.0}, fit={"steps": 1})
    fit(dataset, tmp_path / "second", still, init=tmp_path / "first")
    first = read_tensors(weights_file(tmp_path / "first"))
    second = read_tensors(weights_file(tmp_path / "second"))
    assert all(torch.equal(first[k], second[k]) for k in first)
    wide = tiny(model={"width": 32}, fit={"steps": 1})
    with pytest.raises(StoreError, match="weight"):
        fit(dataset, tmp_path / "third", wide, init=tmp_path / "first")


def test_bf16_trains_near_fp32(dataset: Dataset, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        fit(dataset, tmp_path / precision, tiny(fit={"precision": precision, "steps": 5}))
    a, b = (logged(tmp_path / p, "loss")[5] for p in ("fp32", "bf16"))
    assert a != b and a == pytest.approx(b, rel=0.02)
    assert all(t.dtype == torch.float32 for t in latest(tmp_path / "bf16").tensors(MODEL).values())
