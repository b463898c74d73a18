"""The settings of a fine-tuning: one frozen dataclass, the one place of its defaults.

The recipe is that of QAMA (the scorer of QA-MDT's data): a self-supervised speech encoder tuned
whole, the mean over time of its last hidden state, a linear head, L1 loss. Where it differs: the
convolutions stay frozen by default, and the head has a learning rate of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...schemas import settings
from ...schemas.errors import ConfigError
from ...schemas.settings import setting
from ..profile import profile_or_file

LOSSES = ("l1", "huber")
FREEZES = ("none", "features", "encoder")
AIMS = ("rmse", "pearson")


@dataclass(frozen=True)
class FinetuneConfig:
    """How a scorer is fine-tuned. Raises ConfigError for a value that cannot be used."""

    window_s: float = setting(10.0, "longest stretch heard at once in seconds")
    loudness_lufs: float | None = setting(
        None,
        "bring sounds to this loudness (EBU R128) in training and in use; R128 itself says -23",
    )
    normalise: bool | None = setting(
        None,
        "bring windows to mean 0 and variance 1; default: as INIT says, but not with a loudness",
    )
    loss: str = setting("l1", "loss on the score", LOSSES)
    freeze: str = setting("features", "what is not trained: features = the convolutions", FREEZES)
    epochs: int = setting(20, "passes over the training sounds, at most")
    patience: int = setting(5, "stop after so many epochs without a better dev figure")
    aim: str = setting("rmse", "dev figure that chooses the best epoch", AIMS)
    batch_size: int = setting(16, "sounds a batch")
    accumulate: int = setting(1, "batches a step of the optimizer")
    learning_rate: float = setting(3e-5, "peak learning rate of the encoder")
    head_learning_rate: float = setting(1e-3, "peak learning rate of the head")
    weight_decay: float = setting(0.01, "AdamW's, on matrices alone")
    warmup: float = setting(0.1, "share of all steps in which the rates rise")
    seed: int = setting(0, "of the split, the head, the order, the crops, dropout")
    save_steps: int = setting(200, "steps between checkpoints; there is one after each epoch too")

    def __post_init__(self) -> None:
        _one_of("loss", self.loss, LOSSES)
        _one_of("freeze", self.freeze, FREEZES)
        _one_of("aim", self.aim, AIMS)
        for name in ("epochs", "patience", "batch_size", "accumulate", "save_steps"):
            _within(name, getattr(self, name), 1, math.inf)
        _within("seed", self.seed, 0, 2**32)
        _within("window_s", self.window_s, 1.0, math.inf)
        _within("learning_rate", self.learning_rate, 0.0, 1.0)
        _within("head_learning_rate", self.head_learning_rate, 0.0, 1.0)
        _within("weight_decay", self.weight_decay, 0.0, 1.0)
        _within("warmup", self.warmup, 0.0, 0.9)
        if self.loudness_lufs is not None:
            _within("loudness_lufs", self.loudness_lufs, -70.0, 0.0)
            if self.normalise:
                raise ConfigError(
                    f"loudness_lufs = {self.loudness_lufs} and normalise: a window at variance 1 "
                    "has lost its loudness; give one of the two"
                )

    def plain(self) -> dict[str, Any]:
        """The settings as JSON takes them."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Config:
    """All settings of `qamdt-curate models train-pmos`: one section."""

    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)

    def override(self, section: str, values: Mapping[str, Any]) -> Config:
        """A copy with some settings of one section replaced. Raises ConfigError."""
        return settings.override(self, section, values)


def from_toml(path: Path, base: Config | None = None) -> Config:
    """The configuration of a TOML file, over `base`. Raises ConfigError."""
    return settings.from_toml(profile_or_file(path), base or Config())


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isnan(value):
        limits = f"{low:g} or more" if high == math.inf else f"{low:g}..{high:g}"
        raise ConfigError(f"{name} = {value}: expected {limits}")
