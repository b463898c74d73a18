"""The settings of every station: one frozen dataclass each, the one place of its defaults.

Precedence: dataclass < TOML file (`--config`) < flag. `to_toml` prints what `from_toml` reads back
to an equal configuration. A setting whose default is None is off and is left out of the TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..schemas import settings
from ..schemas.settings import at_least, between, one_of, setting, to_toml
from ..schemas.station import RunConfig

__all__ = ["Config", "from_toml", "setting", "to_toml"]

SCHEMES = ("ladder", "printed", "released", "quantile")
PREFIXES = ("paper", "released", "quantile")
LISTENERS = ("pmos", "signal", "clap", "tags", "music")


@dataclass(frozen=True)
class IngestConfig:
    """What a clip is."""

    window_s: float = setting(10.24, "length of a clip in seconds")
    hop_s: float | None = setting(None, "step between clips in seconds; default: the window")
    min_tail: float = setting(0.5, "shortest tail kept, as a share of the window")

    def __post_init__(self) -> None:
        at_least("window_s", self.window_s, 0.1)
        at_least("hop_s", self.hop_s or self.window_s, 0.1)
        between("min_tail", self.min_tail, 0.0, 1.0)


@dataclass(frozen=True)
class ModelsConfig:
    """Which model plays which role: `embedded` or `kind@where`."""

    pmos: str = setting("embedded", "p-MOS model: embedded, embedded-16k, wav2vec2@FOLDER")
    match: str = setting("embedded", "audio-text model: embedded, tagtext, clap@FOLDER")
    tagger: str = setting("embedded", "tagger: embedded")
    llm: str = setting("embedded", "LLM: embedded, none, vllm@MODEL, openai@URL#MODEL")
    device: str = setting("auto", "where models run", ("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        one_of("device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class ScoreConfig:
    """Which listeners hear the clips."""

    only: tuple[str, ...] = setting(LISTENERS, "listeners to run", LISTENERS)

    def __post_init__(self) -> None:
        for name in self.only:
            one_of("only", name, LISTENERS)


@dataclass(frozen=True)
class QuantizeConfig:
    """How a p-MOS becomes a level 1..5 (5 is best) and a text prefix."""

    scheme: str = setting("ladder", "bounds of the five levels", SCHEMES)
    prefixes: str = setting("paper", "rule of the text prefix", PREFIXES)
    per: str = setting("set", "one mu and sigma for the set, or one per source", ("set", "source"))

    def __post_init__(self) -> None:
        one_of("scheme", self.scheme, SCHEMES)
        one_of("prefixes", self.prefixes, PREFIXES)
        one_of("per", self.per, ("set", "source"))


@dataclass(frozen=True)
class RefineConfig:
    """When a caption is replaced. The paper publishes no thresholds: these are ours."""

    min_tag: float | None = setting(
        None, "one probability from which any tag is a fact, instead of the tagger's own for each"
    )
    keep_original: float = setting(  # clap-mini keeps 96% of right captions of other music
        0.15, "similarity from which an original is believed; below it the generated one is taken"
    )
    agree: float = setting(
        0.5, "similarity of original and generated from which there is nothing to merge"
    )
    rich_words: int = setting(14, "words from which an original says enough as it is")
    max_words: int = setting(60, "longest caption, in words")
    llm_max_tokens: int = setting(40, "longest answer of the LLM, in tokens")
    prompt: str = setting("merge-v1", "prompt: a name in curate/prompts, or a file")


@dataclass(frozen=True)
class FilterConfig:
    """What drops a clip. Every rule is a comparison on stored numbers; None is off."""

    max_silence: float | None = setting(0.8, "largest share of silent frames")
    min_rms_dbfs: float | None = setting(-60.0, "lowest RMS level in dBFS")
    max_clipping: float | None = setting(0.02, "largest share of clipped samples")
    min_bandwidth_hz: float | None = setting(None, "lowest bandwidth in Hz")
    min_pmos: float | None = setting(None, "lowest p-MOS")
    min_level: int | None = setting(None, "lowest quality level, 1..5")
    min_similarity: float | None = setting(
        None, "lowest audio-text similarity of the final caption"
    )
    need_caption: bool = setting(True, "drop clips that end without a caption")
    dedup_audio: bool = setting(True, "drop clips whose samples equal another's")


@dataclass(frozen=True)
class ExportConfig:
    """What the shards hold."""

    audio: str = setting("flac", "embed FLAC bytes, or give the path alone", ("flac", "path"))

    def __post_init__(self) -> None:
        one_of("audio", self.audio, ("flac", "path"))


@dataclass(frozen=True)
class Config:
    """All settings of `qamdt-curate`, a section each."""

    ingest: IngestConfig = field(default_factory=IngestConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def override(self, section: str, values: Mapping[str, Any]) -> Config:
        """A copy with some settings of one section replaced.

        Raises ConfigError naming section, setting, value and what is possible.
        """
        return settings.override(self, section, values)


def from_toml(path: Path, base: Config | None = None) -> Config:
    """The configuration of a TOML file, over `base` (default: the defaults). Raises ConfigError."""
    return settings.from_toml(path, base or Config())
