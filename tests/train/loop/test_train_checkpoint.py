"""Checkpoints are whole or not there: kills, damage, the pointer, and what is kept."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fit_builders import child_env
from safetensors import safe_open

from qamdt.schemas.errors import StoreError, WeightsMissing
from qamdt.train.loop.checkpoint import (
    EMA,
    MODEL,
    STATE,
    latest,
    open_checkpoint,
    read_about,
    save,
    weights_file,
)

ABOUT = {"config": {"model": {"width": 8}}, "latents": {"scale": 2.0}, "text": None}


def write(run: Path, step: int, keep: int = 3) -> Path:
    files = {MODEL: {"w": torch.full((4,), float(step))}, EMA: {"w": torch.zeros(4) + step}}
    return save(run, step, files, ABOUT, keep)


def steps(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "checkpoints").iterdir() if p.is_dir())


def test_what_is_saved_is_read_back_with_its_config(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    folder = write(tmp_path, 5)
    found = latest(tmp_path)
    assert found and found.folder == folder and found.step == 5
    assert torch.equal(found.tensors(MODEL)["w"], torch.full((4,), 5.0))
    about = read_about(folder / EMA)
    assert about["config"] == ABOUT["config"] and about["latents"] == {"scale": 2.0}
    with safe_open(folder / MODEL, "pt") as file:  # anyone's safetensors finds it too
        assert json.loads(file.metadata()["config"]) == ABOUT["config"]
    assert weights_file(tmp_path) == weights_file(folder) == weights_file(folder / EMA)


def test_the_newest_are_kept_and_the_pointer_names_the_last_saved(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step, keep=2)
    assert steps(tmp_path) == ["step-00000003", "step-00000004"]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000004"
    write(tmp_path, 4, keep=2)  # the same step again replaces itself
    assert latest(tmp_path).step == 4


def test_a_damaged_checkpoint_is_passed_over_for_the_last_good_one(tmp_path: Path) -> None:
    good = write(tmp_path, 1)
    bad = write(tmp_path, 2)
    with open(bad / MODEL, "r+b") as file:
        file.truncate(10)
    found = latest(tmp_path)
    assert found and found.folder == good
    (good / STATE).write_text("{")
    with pytest.raises(StoreError, match="no checkpoint is complete"):
        latest(tmp_path)
    with pytest.raises(StoreError, match="no complete checkpoint"):
        open_checkpoint(good)


def test_a_folder_without_weights_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="run folder"):
        weights_file(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(b"no")
    with pytest.raises(StoreError, match="cannot be read"):
        read_about(tmp_path / "other.safetensors")


SAVER = """
import sys, torch
from pathlib import Path
from qamdt.train.loop.checkpoint import save
run, step = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    step += 1
    weights = {str(k): torch.full((20_000,), float(step)) for k in range(8)}
    save(run, step, {"model.safetensors": weights, "ema.safetensors": weights}, {}, keep=2)
    print(step, flush=True)
"""


def test_kill_9_in_the_middle_of_a_save_leaves_the_last_good_one(tmp_path: Path) -> None:
    rng, done, env = random.Random(0), 0, child_env()
    for _ in range(8):
        command = [sys.executable, "-c", SAVER, str(tmp_path), str(done)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "ready"
        if not done:
            assert child.stdout.readline()  # one is whole before the first kill
        time.sleep(rng.uniform(0, 0.06))
        os.kill(child.pid, signal.SIGKILL)
        said = [int(line) for line in child.stdout.read().split()]
        child.wait()
        found = latest(tmp_path)
        assert found is not None
        assert found.step >= max([done, *said])  # what was said to be saved is there
        for name in (MODEL, EMA):
            tensors = found.tensors(name)
            assert len(tensors) == 8
            assert all((t == found.step).all() for t in tensors.values())
        done = found.step
    assert done >= 2
