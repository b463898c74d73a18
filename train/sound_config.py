"""The settings of what lies between sound and latents: models, latents, generated sounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.settings import at_least, between, one_of, setting

DEVICES = ("auto", "cpu", "cuda")
POSTERIORS = ("mean", "sample")
FORMATS = ("wav", "flac")
PREFIXES = ("auto", "none")


@dataclass(frozen=True)
class ModelsConfig:
    """Which models. A latent, or a network, belongs to one codec and one text encoder."""

    codec: str = setting("embedded", "audio codec: embedded or diffusers@FOLDER")
    text_encoder: str = setting("embedded", "text encoder: embedded, t5@FOLDER or clap@FOLDER")
    match: str = setting("embedded", "audio-text match that ranks candidates, or clap@FOLDER")
    device: str = setting("auto", "where models run", DEVICES)

    def __post_init__(self) -> None:
        one_of("device", self.device, DEVICES)


@dataclass(frozen=True)
class LatentsConfig:
    """What is made of each clip."""

    seconds: float = setting(10.24, "length of a latent; shorter clips are filled with silence")
    posterior: str = setting("mean", "of the autoencoder's posterior", POSTERIORS)
    kept_only: bool = setting(True, "only clips that the filter station kept")

    def __post_init__(self) -> None:
        one_of("posterior", self.posterior, POSTERIORS)
        at_least("seconds", self.seconds, 0.08)


@dataclass(frozen=True)
class GenerateConfig:
    """What is generated, and how it is written."""

    seconds: float = setting(10.0, "length of a clip; beyond a window, windows overlap")
    overlap: float = setting(0.25, "share of a window that the next one overlaps")
    n: int = setting(1, "candidates for each prompt, seeds rising from --seed")
    best: int | None = setting(None, "keep this many of them, by similarity to the prompt")
    negative: str = setting("", "negative prompt: what guidance leads away from")
    low_quality: float = setting(1.0, "level of guidance's second prediction; 0: none")
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
