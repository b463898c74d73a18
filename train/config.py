"""The settings of `qamdt-train`: one frozen dataclass a section, the one place of their defaults.

Sections `model`, `objective` and `sample` are in their own files; a `size` in section `model` of a
TOML file, or `--size`, stands for the widths and depths of that size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..schemas import settings
from ..schemas.settings import at_least, between, one_of, setting
from .diffusion.config import ObjectiveConfig, SampleConfig
from .network.config import ModelConfig, sized

SAMPLINGS = ("none", "exp", "balanced")
READINGS = ("mmap", "stream")
MASKINGS = ("masked", "masked+full")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "bf16", "fp32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class DataConfig:
    """Which clips are trained on, and how they are drawn and read."""

    quality_sampling: str = setting(
        "none", "draws: each clip once an epoch, by exp(rate * p-MOS), or levels alike", SAMPLINGS
    )
    exp_rate: float = setting(5.0, "exp: steepness, per point of p-MOS; 5 is the released code's")
    exp_full: float = setting(1.25, "exp: sigmas above the mean from which every draw is taken")
    quality_prefix: bool = setting(True, "put the quality prefix before the caption")
    max_tokens: int = setting(128, "longest prompt in tokens, its prefix counted; the rest is cut")
    text_dropout: float = setting(0.1, "share of samples that get the empty text")
    quality_dropout: float = setting(0.1, "share of samples that get the null quality")
    validation: float = setting(0.02, "share of files whose clips are kept for validation")
    reading: str = setting("mmap", "how shards are read", READINGS)
    loader_workers: int = setting(2, "processes that read; 0 reads in this one, the same order")
    skip_bad: bool = setting(False, "count and pass over clips that cannot be read")

    def __post_init__(self) -> None:
        one_of("quality_sampling", self.quality_sampling, SAMPLINGS)
        one_of("reading", self.reading, READINGS)
        at_least("exp_rate", self.exp_rate, 0.0)
        at_least("max_tokens", self.max_tokens, 1)
        at_least("loader_workers", self.loader_workers, 0)
        for name in ("text_dropout", "quality_dropout"):
            between(name, getattr(self, name), 0.0, 1.0)
        between("validation", self.validation, 0.0, 0.9)


@dataclass(frozen=True)
class MaskingConfig:
    """How much of a latent the encoder blocks do not see."""

    masking: str = setting(
        "masked", "forward passes of a step; masked+full also trains on the whole latent", MASKINGS
    )
    mask_low: float = setting(0.3, "lowest share of patches masked; one ratio a step")
    mask_high: float = setting(0.5, "highest share of patches masked")
    unmasked_share: float = setting(0.1, "share of the steps, the last ones, without masking")

    def __post_init__(self) -> None:
        one_of("masking", self.masking, MASKINGS)
        between("mask_low", self.mask_low, 0.0, 0.99)
        between("mask_high", self.mask_high, self.mask_low, 0.99)
        between("unmasked_share", self.unmasked_share, 0.0, 1.0)


@dataclass(frozen=True)
class OptimConfig:
    """AdamW, its learning rate over time, and the mean of the weights."""

    lr: float | None = setting(
        None, "learning rate; off: 8e-5 * 1152 / width, the paper's at the paper's width"
    )
    schedule: str = setting("constant", "learning rate after the warm-up", SCHEDULES)
    warmup: int = setting(2000, "steps of linear warm-up")
    beta1: float = setting(0.9, "decay of the mean of gradients")
    beta2: float = setting(0.999, "decay of the mean of squared gradients")
    weight_decay: float = setting(0.01, "decay of matrices; vectors are not decayed")
    grad_clip_norm: float = setting(
        2.0, "largest norm of the gradient; 0 does not clip", was="clip"
    )
    ema: float = setting(0.9999, "decay of the mean of the weights, bias-corrected")

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        at_least("warmup", self.warmup, 0)
        for name in ("beta1", "beta2", "ema"):
            between(name, getattr(self, name), 0.0, 1.0)
        for name in ("weight_decay", "grad_clip_norm"):
            at_least(name, getattr(self, name), 0.0)

    def rate(self, width: int) -> float:
        """The learning rate after warm-up for a network of this width."""
        return self.lr if self.lr is not None else 8e-5 * 1152 / width


@dataclass(frozen=True)
class FitConfig:
    """How long, how much at once, and on what."""

    steps: int = setting(400_000, "steps of the optimiser")
    batch_size: int = setting(16, "clips a process at once")
    accumulate: int = setting(1, "batches a step")
    seed: int = setting(1234, "seed of weights, order, noise, times, masks and dropout")
    device: str = setting("auto", "where the network runs", DEVICES)
    precision: str = setting("auto", "auto: bf16 on a GPU that has it, else fp32", PRECISIONS)
    compile: bool = setting(False, "torch.compile the network")
    recompute: bool = setting(False, "compute blocks again in the backward pass: less memory")
    threads: int | None = setting(None, "torch threads of this process; off: torch's own choice")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate"):
            at_least(name, getattr(self, name), 1)
        at_least("seed", self.seed, 0)
        at_least("threads", self.threads or 1, 1)
        one_of("device", self.device, DEVICES)
        one_of("precision", self.precision, PRECISIONS)


@dataclass(frozen=True)
class WatchConfig:
    """What is logged, measured, shown and kept on the way. Nothing here changes the weights."""

    log_every: int = setting(50, "steps between lines of the log")
    validate_every: int = setting(2000, "steps between losses at fixed t; 0 is never")
    validate_clips: int = setting(64, "clips of the validation split that are measured")
    validate_times: int = setting(5, "fixed times, evenly between noise and data")
    demo_every: int = setting(10_000, "steps between demos; 0 is never")
    demo_clips: int = setting(2, "prompts of a demo, from the validation split")
    demo_levels: tuple[float, ...] = setting((1.0, 3.0, 5.0), "quality levels of a demo")
    save_every: int = setting(1000, "steps between checkpoints; the end is always one")
    keep: int = setting(3, "newest checkpoints kept")
    tensorboard: bool = setting(True, "write TensorBoard events into RUN/tensorboard")
    wandb: str | None = setting(None, "log to this Weights & Biases project as well")
    peak_tflops: float | None = setting(
        None, "peak of the device for MFU; off: by the device's name"
    )

    def __post_init__(self) -> None:
        for name in (
            "log_every",
            "validate_clips",
            "validate_times",
            "demo_clips",
            "save_every",
            "keep",
        ):
            at_least(name, getattr(self, name), 1)
        for name in ("validate_every", "demo_every"):
            at_least(name, getattr(self, name), 0)
        for level in self.demo_levels:
            between("demo_levels", level, 1.0, 5.0)


@dataclass(frozen=True)
class Config:
    """All settings of `qamdt-train`, a section each."""

    model: ModelConfig = field(default_factory=lambda: sized("s"))
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: DataConfig = field(default_factory=DataConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    def override(self, section: str, values: Mapping[str, Any]) -> Config:
        """A copy with some settings of one section replaced. Raises ConfigError.

        A `size` of section `model` replaces what the named size sets and leaves the rest.
        """
        values = dict(values)
        if section == "model" and "size" in values:
            size = sized(str(values.pop("size")))
            return dataclasses.replace(self, model=_resized(self.model, size)).override(
                section, values
            )
        return settings.override(self, section, values)


def _resized(old: ModelConfig, size: ModelConfig) -> ModelConfig:
    """`old` with everything in which `size` differs from the defaults, or the sizes do."""
    from .network.config import SIZES

    names = {name for changes in SIZES.values() for name in changes}
    return dataclasses.replace(old, **{name: getattr(size, name) for name in names})


def from_plain(content: Mapping[str, Any], base: Config | None = None, source: str = "") -> Config:
    """The configuration of nested dicts, over `base` (default: the defaults). Raises ConfigError."""
    config = base or Config()
    for section, values in settings.in_sections(content, source).items():
        config = config.override(section, values)
    return config


def from_toml(path: Path, base: Config | None = None) -> Config:
    """The configuration of a TOML file, over `base`. Raises ConfigError."""
    return from_plain(settings.read_toml(path), base, str(path))


MAY_CHANGE = {  # at resume: nothing here changes what the next steps compute, but `steps` its end
    "fit": {"steps", "device", "precision", "compile", "recompute", "threads"},
    "data": {"reading", "loader_workers", "skip_bad"},
}


def differences(old: Config, new: Config) -> list[str]:
    """The settings, as `[section] name: old -> new`, that forbid going on with `new`."""
    found = []
    for section in ("model", "objective", "data", "masking", "optim", "fit"):
        a, b = getattr(old, section), getattr(new, section)
        for f in dataclasses.fields(a):
            before, now = getattr(a, f.name), getattr(b, f.name)
            if before != now and f.name not in MAY_CHANGE.get(section, ()):
                found.append(f"[{section}] {f.name}: {before} -> {now}")
    return found
