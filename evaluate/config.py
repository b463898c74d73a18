"""The settings of `qamdt-evaluate`: frozen dataclasses, the one place of their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.clap.kinds import MATCHERS
from ..models.pmos.kinds import KINDS
from ..models.profile import apply_profile, is_profile, profile_or_file
from ..models.ref import usages
from ..schemas import settings
from ..schemas.errors import ConfigError
from ..schemas.settings import at_least, between, one_of, setting

METRICS = ("fad", "kad", "kl", "is", "clap", "pmos")
PROTOCOL_NAMES = ("native", "audioldm", "musicgen", "fadtk")
DEFAULT_CACHE = "~/.cache/qamdt/evaluate"


@dataclass(frozen=True)
class MetricsConfig:
    """What is measured, and how."""

    metrics: tuple[str, ...] = setting(METRICS, "metrics to compute", METRICS)
    protocol: str = setting(
        "native", "whose front end and definitions are followed", PROTOCOL_NAMES
    )
    kl_direction: str | None = setting(
        None, "KL(reference || generated) or the other way; default: the protocol's",
        ("ref-gen", "gen-ref"),
    )  # fmt: skip
    is_splits: int | None = setting(None, "splits of the inception score; default: the protocol's")
    fad_inf: bool = setting(False, "also FAD at infinitely many clips, from a line in 1/n")
    seconds: float | None = setting(None, "use at most so many seconds of each clip")
    max_silence: float = setting(0.5, "flag clips with a larger share of silent frames")
    max_clipping: float = setting(0.02, "flag clips with a larger share of clipped samples")

    def __post_init__(self) -> None:
        for name in self.metrics:
            one_of("metrics", name, METRICS)
        if not self.metrics:
            raise ConfigError(f"metrics is empty: give some of {', '.join(METRICS)}")
        one_of("protocol", self.protocol, PROTOCOL_NAMES)
        if self.kl_direction is not None:
            one_of("kl_direction", self.kl_direction, ("ref-gen", "gen-ref"))
        if self.is_splits is not None:
            at_least("is_splits", self.is_splits, 1)
        if self.seconds is not None:
            at_least("seconds", self.seconds, 0.1)
        between("max_silence", self.max_silence, 0.0, 1.0)
        between("max_clipping", self.max_clipping, 0.0, 1.0)


@dataclass(frozen=True)
class EvaluateModels:
    """Which model plays which role: `embedded` or `kind@where`."""

    embedder: tuple[str, ...] = setting(
        ("embedded",), "of FAD and KAD: embedded, clap-mini, clap@, laion@, vggish@, panns@, "
        "wav2vec2@",
    )  # fmt: skip
    classifier: str = setting("embedded", "of KL and IS: embedded, panns@FILE")
    clap: str = setting("embedded", f"of the CLAP score: {usages(MATCHERS)}")
    pmos: str = setting("embedded", f"p-MOS model: {usages(KINDS)}")
    device: str = setting("auto", "where models run", ("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        if not self.embedder or len(set(self.embedder)) < len(self.embedder):
            raise ConfigError(
                f"embedder = {list(self.embedder)}: expected one or more, all different"
            )


@dataclass(frozen=True)
class EvaluateRun:
    """Where the work runs. Nothing here changes a number on the CPU."""

    workers: int = setting(0, "Ray actors; 0 runs in this process")
    threads: int = setting(1, "threads a worker computes with")
    ray_address: str | None = setting(None, "join this Ray cluster instead of a local one")
    batch: int = setting(8, "clips decoded together")
    cache: str = setting(DEFAULT_CACHE, "folder of cached features, kept for the next evaluation")

    def __post_init__(self) -> None:
        at_least("workers", self.workers, 0)
        at_least("threads", self.threads, 1)
        at_least("batch", self.batch, 1)


@dataclass(frozen=True)
class Config:
    """All settings of `qamdt-evaluate`, a section each."""

    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    models: EvaluateModels = field(default_factory=EvaluateModels)
    run: EvaluateRun = field(default_factory=EvaluateRun)

    def override(self, section: str, values: Mapping[str, Any]) -> Config:
        """A copy with some settings of one section replaced. Raises ConfigError."""
        return settings.override(self, section, values)


def from_toml(path: Path, base: Config | None = None) -> Config:
    """The configuration of a TOML file, or of a profile by its name, over `base`. Raises ConfigError.

    The role `match` of a profile is the model of the CLAP score here.
    """
    config = base or Config()
    if is_profile(path):
        return apply_profile(path, config, {"match": "clap"})
    return settings.from_toml(profile_or_file(path), config)
