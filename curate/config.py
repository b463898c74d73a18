"""The settings of every station: one frozen dataclass each, the one place of its defaults.

Precedence: dataclass < TOML file (`--config`) < flag. `to_toml` prints what `from_toml` reads back
to an equal configuration. A setting whose default is None is off and is left out of the TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.profile import apply_profile, is_profile, profile_or_file
from ..pipeline.run_config import RunConfig
from ..schemas import plugins, settings
from ..schemas.errors import ConfigError
from ..schemas.settings import at_least, between, one_of, setting, to_toml
from . import roles
from .quality.rules import conditions, help_of

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

    pmos: str = setting("embedded", roles.help_of("pmos", "p-MOS model"))
    match: str = setting("embedded", roles.help_of("match", "audio-text model"))
    tagger: str = setting("embedded", roles.help_of("tagger", "tagger"))
    captioner: str = setting("tags", roles.help_of("captioner", "captioner"))
    llm: str = setting("embedded", roles.help_of("llm", "LLM"))
    device: str = setting("auto", "where models run", ("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        one_of("device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class ScoreConfig:
    """Which listeners hear the clips."""

    only: tuple[str, ...] = setting(
        (), f"listeners to run: {', '.join(LISTENERS)}, or a plug-in's; default: all"
    )

    def __post_init__(self) -> None:
        if set(self.only) - set(LISTENERS):
            known = tuple(plugins.kinds("listener", dict.fromkeys(LISTENERS)))
            for name in self.only:
                one_of("only", name, known)


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
class CaptionConfig:
    """What is said of a clip. The paper publishes neither captioner nor prompt: these are ours."""

    min_tag: float | None = setting(
        None, "one probability from which any tag is a fact, instead of the tagger's own for each"
    )
    min_instrument_probability: float | None = setting(  # bench_facts: a tenth of the wrong ones
        0.9, "calibrated probability from which an instrument is said", was="sure"
    )
    listen_prompt: str = setting("listen-v1", "prompt of audio captioners: a name, or a file")
    listen_max_tokens: int = setting(80, "longest answer of an audio captioner, in tokens")

    def __post_init__(self) -> None:
        if self.min_instrument_probability is not None:
            between("min_instrument_probability", self.min_instrument_probability, 0.01, 0.999)
        at_least("listen_max_tokens", self.listen_max_tokens, 1)


@dataclass(frozen=True)
class RefineConfig:
    """When a caption is replaced. The paper publishes no thresholds: these are ours.

    A threshold is a similarity, as `0.15`, or a quantile of the set, as `q0.2`.
    """

    rho1: str = setting("0.0", "similarity from which a generated caption is kept")
    rho2: str = setting("0.5", "similarity of original and generated from which none are merged")
    min_original_similarity: str = setting(
        "0.1", "similarity from which an original caption may be right", was="believe"
    )
    min_z: float | None = setting(  # two demo sets of other seeds: wrong ones reach .81
        1.0,
        "an original must fit better than others' captions, in standard deviations",
        was="fits",
    )
    margin: float = setting(0.02, "how much nearer a generated text must be to replace a good one")
    rich_words: int = setting(14, "words from which an original says enough as it is")
    max_words: int = setting(60, "longest caption, in words")
    max_tokens: int = setting(128, "longest prompt for the trainer's T5, its prefix counted")
    t5: str | None = setting(None, "folder of a T5 tokenizer; default: a careful estimate")
    language: str = setting("en", "language of captions", ("en", "any"))
    names: bool = setting(False, "captions may name the title and artist of the file's tags")
    near_dup_limit: int = setting(
        3, "originals whose merged texts may be alike before none is taken", was="echoes"
    )
    near_dup_similarity: float = setting(
        0.97, "similarity from which two texts are alike", was="echo"
    )
    candidates: int = setting(1, "texts asked of the LLM a prompt, the first one greedy")
    llm_max_tokens: int = setting(200, "longest answer of the LLM, in tokens")
    prompt: str = setting("merge-v2", "prompt: a name in curate/prompts, or a file")

    def __post_init__(self) -> None:
        for name in ("rho1", "rho2", "min_original_similarity"):
            threshold(name, getattr(self, name))
        one_of("language", self.language, ("en", "any"))
        at_least("candidates", self.candidates, 1)
        at_least("near_dup_limit", self.near_dup_limit, 1)
        at_least("max_tokens", self.max_tokens, 8)


def threshold(name: str, text: str) -> tuple[float | None, float | None]:
    """(value, None) of `0.15`, (None, quantile) of `q0.2`. Raises ConfigError."""
    try:
        if text.startswith("q"):
            quantile = float(text[1:])
            if 0 <= quantile <= 1:
                return None, quantile
        elif -1 <= (value := float(text)) <= 1:
            return value, None
    except ValueError:
        pass
    raise ConfigError(f"{name} = {text!r}: expected -1 to 1, or a quantile as q0.2")


@dataclass(frozen=True)
class FilterConfig:
    """What drops a clip, by stored numbers alone; None and an empty list are off. The rules:
    `quality/rules.py`. Raises ConfigError for conditions of one name."""

    max_silence: float | None = setting(0.8, help_of("max_silence"))
    min_rms_dbfs: float | None = setting(-60.0, help_of("min_rms_dbfs"))
    max_clipping: float | None = setting(0.02, help_of("max_clipping"))
    min_bandwidth_hz: float | None = setting(None, help_of("min_bandwidth_hz"))
    min_pmos: float | None = setting(None, help_of("min_pmos"))
    min_level: int | None = setting(None, help_of("min_level"))
    min_similarity: float | None = setting(None, help_of("min_similarity"))
    need_caption: bool = setting(True, help_of("need_caption"))
    need_belief: bool = setting(True, help_of("need_belief"))
    dedup_audio: bool = setting(True, help_of("dedup_audio"))
    where: tuple[str, ...] = setting((), help_of("where"))
    exclude: tuple[str, ...] = setting((), help_of("exclude"))
    licences: tuple[str, ...] = setting((), help_of("licences"))
    sources: tuple[str, ...] = setting((), help_of("sources"))
    not_sources: tuple[str, ...] = setting((), help_of("not_sources"))

    def __post_init__(self) -> None:
        conditions(self.where)


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
    caption: CaptionConfig = field(default_factory=CaptionConfig)
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
    """The configuration of a TOML file, or of a profile by its name, over `base` (default: the
    defaults). Raises ConfigError."""
    config = base or Config()
    if is_profile(path):
        return apply_profile(path, config)
    return settings.from_toml(profile_or_file(path), config)
