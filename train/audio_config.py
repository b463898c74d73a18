"""The settings of `qamdt-train latents` and `generate`: what lies between sound and latents.

Section `sample` is that of config.py: how a latent is generated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.profile import apply_profile, is_profile, profile_or_file
from ..pipeline.run_config import RunConfig
from ..schemas import settings
from ..schemas.settings import at_least, between, one_of, setting
from .diffusion.config import SampleConfig

POSTERIORS = ("mean", "sample")
FORMATS = ("wav", "flac")
PREFIXES = ("auto", "none")


@dataclass(frozen=True)
class ModelsConfig:
    """Which models. A latent, or a network, belongs to one codec and one text encoder."""

    codec: str = setting("embedded", "audio codec: embedded or diffusers@FOLDER")
    text_encoder: str = setting("embedded", "text encoder: embedded, t5@FOLDER or clap@FOLDER")
    match: str = setting("embedded", "audio-text match that ranks candidates, or clap@FOLDER")
    device: str = setting("auto", "where models run", ("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        one_of("device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class LatentsConfig:
    """What is made of each clip and of each prompt."""

    seconds: float = setting(10.24, "length of a latent; shorter clips are filled with silence")
    posterior: str = setting("mean", "of the autoencoder's posterior", POSTERIORS)
    kept_only: bool = setting(True, "only clips that the filter station kept")
    quality_prefix: bool = setting(True, "put the quality prefix before the caption")
    max_tokens: int = setting(128, "longest prompt in tokens, its prefix counted; the rest is cut")

    def __post_init__(self) -> None:
        one_of("posterior", self.posterior, POSTERIORS)
        at_least("seconds", self.seconds, 0.08)
        at_least("max_tokens", self.max_tokens, 2)


@dataclass(frozen=True)
class MakeConfig:
    """What is generated, and how it is written."""

    seconds: float = setting(10.0, "length of a clip; beyond a window, windows overlap")
    overlap: float = setting(0.25, "share of a window that the next one overlaps")
    n: int = setting(1, "candidates for each prompt, seeds rising from --seed")
    best: int | None = setting(None, "keep this many of them, by similarity to the prompt")
    negative: str = setting("", "negative prompt: what guidance leads away from")
    low_quality: float = setting(1.0, "level of guidance's second answer; 0: not said")
    prefix: str = setting("auto", "quality prefix before the prompt: as trained, or none", PREFIXES)
    strength: float = setting(0.6, "with --init: share of the noise that is put on it, 0 to 1")
    batch: int = setting(4, "clips that the network makes at once")
    format: str = setting("wav", "sound files", FORMATS)

    def __post_init__(self) -> None:
        one_of("format", self.format, FORMATS)
        one_of("prefix", self.prefix, PREFIXES)
        at_least("seconds", self.seconds, 0.1)
        between("overlap", self.overlap, 0.0, 0.75)
        between("strength", self.strength, 0.0, 1.0)
        for name in ("n", "batch"):
            at_least(name, getattr(self, name), 1)
        if self.best is not None:
            between("best", self.best, 1, self.n)


@dataclass(frozen=True)
class AudioConfig:
    """All of them, a section each."""

    models: ModelsConfig = field(default_factory=ModelsConfig)
    latents: LatentsConfig = field(default_factory=LatentsConfig)
    make: MakeConfig = field(default_factory=MakeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def override(self, section: str, values: Mapping[str, Any]) -> AudioConfig:
        """A copy with some settings of one section replaced. Raises ConfigError."""
        return settings.override(self, section, values)


def from_toml(path: Path, base: AudioConfig | None = None) -> AudioConfig:
    """The configuration of a TOML file, or of a profile by its name, over `base`. Raises ConfigError."""
    config = base or AudioConfig()
    if is_profile(path):
        return apply_profile(path, config)
    return settings.from_toml(profile_or_file(path), config)
