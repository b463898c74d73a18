"""The settings of every station: one frozen dataclass each, the one place of its defaults.

Precedence: dataclass < TOML file (`--config`) < flag. `to_toml` prints what `from_toml` reads back
to an equal configuration. A setting whose default is None is off and is left out of the TOML.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from ..schemas.errors import ConfigError

SCHEMES = ("ladder", "printed", "released", "quantile")
PREFIXES = ("paper", "released", "quantile")
LISTENERS = ("pmos", "signal", "clap", "tags", "music")


def setting(default: Any, doc: str, choices: tuple[str, ...] = ()) -> Any:
    """A field with its default and the sentence that `--help` shows."""
    return field(default=default, metadata={"doc": doc, "choices": choices})


@dataclass(frozen=True)
class IngestConfig:
    """What a clip is."""

    window_s: float = setting(10.24, "length of a clip in seconds")
    hop_s: float | None = setting(None, "step between clips in seconds; default: the window")
    min_tail: float = setting(0.5, "shortest tail kept, as a share of the window")

    def __post_init__(self) -> None:
        _at_least("window_s", self.window_s, 0.1)
        _at_least("hop_s", self.hop_s or self.window_s, 0.1)
        _between("min_tail", self.min_tail, 0.0, 1.0)


@dataclass(frozen=True)
class ModelsConfig:
    """Which model plays which role: `embedded` or `kind@where`."""

    pmos: str = setting("embedded", "p-MOS model: embedded, wav2vec2@FOLDER")
    match: str = setting("embedded", "audio-text model: embedded, tagtext, clap@FOLDER")
    tagger: str = setting("embedded", "tagger: embedded")
    llm: str = setting("embedded", "LLM: embedded, none, vllm@MODEL, openai@URL#MODEL")
    device: str = setting("auto", "where models run", ("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        _one_of("device", self.device, ("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class ScoreConfig:
    """Which listeners hear the clips."""

    only: tuple[str, ...] = setting(LISTENERS, "listeners to run", LISTENERS)

    def __post_init__(self) -> None:
        for name in self.only:
            _one_of("only", name, LISTENERS)


@dataclass(frozen=True)
class QuantizeConfig:
    """How a p-MOS becomes a level 1..5 (5 is best) and a text prefix."""

    scheme: str = setting("ladder", "bounds of the five levels", SCHEMES)
    prefixes: str = setting("paper", "rule of the text prefix", PREFIXES)
    per: str = setting("set", "one mu and sigma for the set, or one per source", ("set", "source"))

    def __post_init__(self) -> None:
        _one_of("scheme", self.scheme, SCHEMES)
        _one_of("prefixes", self.prefixes, PREFIXES)
        _one_of("per", self.per, ("set", "source"))


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
        _one_of("audio", self.audio, ("flac", "path"))


@dataclass(frozen=True)
class RunConfig:
    """Where the work runs. Nothing here changes a result, but for the last bits with `threads`."""

    workers: int = setting(0, "Ray actors; 0 runs in this process")
    threads: int = setting(1, "threads a worker computes with")
    ray_address: str | None = setting(None, "join this Ray cluster instead of a local one")

    def __post_init__(self) -> None:
        _at_least("workers", self.workers, 0)
        _at_least("threads", self.threads, 1)


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
        sections = {f.name for f in dataclasses.fields(self)}
        if section not in sections:
            raise ConfigError(
                f"[{section}]: no such section; there are {', '.join(sorted(sections))}"
            )
        old = getattr(self, section)
        known = typing.get_type_hints(type(old))
        clean = {}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(
                    f"[{section}] {name}: no such setting; there are {', '.join(sorted(known))}"
                )
            clean[name] = _convert(f"[{section}] {name}", value, known[name])
        return dataclasses.replace(self, **{section: dataclasses.replace(old, **clean)})


def from_toml(path: Path, base: Config | None = None) -> Config:
    """The configuration of a TOML file, over `base` (default: the defaults). Raises ConfigError."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError as e:
        raise ConfigError(f"{path}: no such configuration file") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{path} is not TOML: {e}") from e
    config = base or Config()
    for section, values in content.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section!r} stands outside a section like [ingest]")
        config = config.override(section, values)
    return config


def to_toml(config: Config) -> str:
    """TOML that `from_toml` reads back to an equal configuration."""
    sections = {
        f.name: {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in dataclasses.asdict(getattr(config, f.name)).items()
            if v is not None
        }
        for f in dataclasses.fields(config)
    }
    return tomli_w.dumps(sections)


def _convert(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type that the field declares; an integer may stand for a float."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if typing.get_origin(kind) is tuple:
            if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
                return tuple(value)
        elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    wanted = " or ".join(getattr(k, "__name__", str(k)) for k in kinds if k is not type(None))
    raise ConfigError(f"{name} = {value!r}: expected {wanted}")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")


def _at_least(name: str, value: float, low: float) -> None:
    if not value >= low:
        raise ConfigError(f"{name} = {value!r}: expected at least {low:g}")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value!r}: expected {low:g} to {high:g}")
