"""What the trainer's tests share: a tiny configuration and a synthetic dataset folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from qamdt.benchmarks.training.synthetic_latents import SyntheticClip, make_synthetic
from qamdt.pipeline.dataset import Dataset
from qamdt.schemas.arrow import name_of
from qamdt.train.config import Config

SHAPE, TEXT_WIDTH = (2, 8, 6), 8


def tiny(**sections: dict[str, Any]) -> Config:
    """A network of some thousand parameters for latents of SHAPE, on this process's CPU."""
    channels, frames, bands = SHAPE
    base: dict[str, dict[str, Any]] = {
        "model": {
            "width": 16, "depth": 3, "decoder_depth": 1, "heads": 2, "channels": channels,
            "frames": frames, "bands": bands, "patch_frames": 2, "patch_bands": 2,
            "text_width": TEXT_WIDTH,
        },
        "data": {"loader_workers": 0, "validation": 0.2},
        "optim": {"lr": 1e-3, "warmup": 5},
        "fit": {"steps": 20, "batch_size": 4, "device": "cpu", "precision": "fp32"},
        "watch": {
            "log_every": 5, "validate_every": 0, "demo_every": 0, "save_every": 7,
            "tensorboard": False,
        },
        "sample": {"steps": 3},
    }  # fmt: skip
    config = Config()
    for section in {**base, **sections}:
        config = config.override(section, {**base.get(section, {}), **sections.get(section, {})})
    return config


def small_set(root: Path, clips: int = 60, **options: Any) -> tuple[Dataset, list[SyntheticClip]]:
    """A synthetic dataset folder of SHAPE, and the truth about it."""
    torch.set_num_threads(1)
    dataset = Dataset(root)
    return dataset, make_synthetic(dataset, clips, SHAPE, TEXT_WIDTH, **options)


def child_env() -> dict[str, str]:
    """An environment in which a child process imports what this one imports."""
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def replace(dataset: Dataset, cls: type, state: str, rows: Sequence[Any]) -> None:
    """Show readers other rows of a table."""
    dataset.commit(cls, state, rows)
    dataset.adopt(name_of(cls), state, {})
