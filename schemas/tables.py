"""The tables: one row class each, in the order in which the stations write them.

Each is a sidecar: `clip_id` and only its own columns. Every row has `status` (`ok` or `error`); an
error row names its error and leaves the table's own columns null.

    files       ingest     one row a file (or manifest path) that was found
    clips       ingest     one row a window
    pmos        score      pseudo mean opinion score
    signal      score      what the samples show
    clap        score      audio embedding of the joint audio-text model
    tags        score      the tagger's tags
    music       score      tempo and key
    bounds      quantize   mu, sigma and the level bounds of each group
    levels      quantize   quality level 1..5 and prefix
    facts       caption    what tags, tempo, key and loudness say of a clip and of its file
    generated   caption    the generated caption
    texts       refine     each different text: its embedding, its guards, its length
    matches     refine     similarity of audio, original and generated caption
    checks      refine     what those numbers mean: which text may be used, and what to do (SQL)
    answers     refine     what the LLM answered, a row a request
    captions    refine     the final caption and what it was chosen from
    decisions   filter     kept, and every reason against
    shards      export     the join, with audio (its schema is in curate/export/shards.py)
    latents     latents    what the audio codec makes of each clip
    text_states latents    what the text encoder makes of each prompt, a row a unique text
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from .arrow import col, declared, key, table
from .caption_tables import Caption, Check, Fact, Generated, LlmAnswer, Match, Text
from .rows import F32, ModelRow, Row

__all__ = [
    "TABLES", "Bounds", "Caption", "Check", "Clap", "Clip", "Decision", "Fact", "File", "Generated",
    "Latent", "Level", "LlmAnswer", "Match", "ModelRow", "Music", "Pmos", "Row", "Signal", "Tags",
    "Text", "TextStates",
]  # fmt: skip


@table("files", 1, station="ingest", keys=("path", "scan"), order=1, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class File:
    """One file that ingest found. The newest row of a path counts; ingest writes, score reads."""

    path: str = key("absolute path")
    root: str = key("the folder or manifest it was found by")
    scan: int = key("number of the ingest run that wrote the row, 1, 2, ...")
    status: str = "ok"
    error_type: str | None = None
    error_message: str | None = None
    sha256: str | None = col("SHA-256 of the file's bytes")
    size_bytes: int | None = col("size of the file", unit="bytes")
    mtime_ns: int | None = col("modification time", unit="ns since 1970")
    duration_s: float | None = col("duration as the decoder states it", unit="s")
    rate_hz: int | None = col("sample rate", unit="Hz")
    channels: int | None = col("channels")
    codec: str | None = col("codec as the decoder names it")
    request_sha256: str | None = col("hash of what manifest and sidecars say of the file")


@table("clips", 1, station="ingest", keys=("clip_id", "path", "scan"), order=2)
@dataclass(frozen=True, kw_only=True)
class Clip(Row):
    """One window of one file. Ingest writes, everything reads.

    The view `clips` shows each clip_id once; the same bytes found again under another name (or asked
    for twice) are in the view `duplicates`.
    """

    path: str = key("absolute path of the file")
    scan: int = key("number of the ingest run that wrote the row")
    file_sha256: str = col("SHA-256 of the file's bytes")
    window_index: int = col("number of the window in its file, 0, 1, ...")
    start_s: float = col("start in the file", unit="s")
    duration_s: float = col("duration", unit="s")
    caption: str | None = col("the caption that came with the audio")
    caption_source: str | None = col("manifest, sidecar .txt or .json, or file tags")
    tags: list[str] | None = col("tags that came with the audio")
    source: str | None = col("data set or collection")
    licence: str | None = col("licence as stated by manifest, sidecar or file tags")
    skip: str | None = col("why no station works on it (short_tail, too_short), else null")


@table("pmos", 1, station="score", order=11, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Pmos(ModelRow):
    """Pseudo mean opinion score of each clip. Score writes, quantize reads."""

    pmos: float | None = col("pseudo MOS", unit="1..5, 5 is best", arrow=F32)


@table("signal", 1, station="score", order=12, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Signal(Row):
    """What the samples of each clip show. Score writes, filter reads."""

    silence_ratio: float | None = col(
        "share of 50 ms frames below -60 dBFS", unit="0..1", arrow=F32
    )
    rms_dbfs: float | None = col("RMS level over all channels", unit="dBFS", arrow=F32)
    peak_dbfs: float | None = col("sample peak", unit="dBFS", arrow=F32)
    true_peak_dbtp: float | None = col("4x oversampled peak (BS.1770)", unit="dBTP", arrow=F32)
    clipping_ratio: float | None = col("share of samples in flat tops", unit="0..1", arrow=F32)
    loudness_lufs: float | None = col("integrated loudness (BS.1770)", unit="LUFS", arrow=F32)
    bandwidth_hz: float | None = col("highest frequency with signal", unit="Hz", arrow=F32)
    dc_offset: float | None = col("mean of the samples", unit="full scale = 1", arrow=F32)
    stereo_correlation: float | None = col("left-right correlation", unit="-1..1", arrow=F32)
    pcm_sha256: str | None = col("SHA-256 of the decoded samples at 16 bit")


@table("clap", 1, station="score", order=13, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Clap(ModelRow):
    """Audio embedding of the joint audio-text model. Score writes, refine and search read."""

    embedding: list[float] | None = col(
        "unit vector", unit="float16 [dim]", arrow=pa.list_(pa.float16())
    )


@table("tags", 1, station="score", order=14, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Tags(ModelRow):
    """The tags of each clip. Score writes, refine reads."""

    tag_names: list[str] | None = col("the most probable tags, most probable first")
    tag_probabilities: list[float] | None = col(
        "their probabilities", unit="0..1", arrow=pa.list_(F32)
    )


@table("music", 1, station="score", order=15, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Music(Row):
    """Tempo and key. Score writes, refine reads."""

    tempo_bpm: float | None = col("tempo; null where there is none", unit="BPM", arrow=F32)
    tempo_confidence: float | None = col("how clear the beat is", unit="0..1", arrow=F32)
    key: str | None = col("key, as in 'C major'; null where there is none")
    key_confidence: float | None = col("how clear the key is", unit="0..1", arrow=F32)


@table("bounds", 1, station="quantize", keys=("grouping",), order=21)
@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Statistics of p-MOS and the bounds made from them, a row a group (the set, or a source)."""

    grouping: str = key("'set', or the name of the source")
    scheme: str = key("ladder, printed, released or quantile")
    prefix_scheme: str = key("paper, released or quantile")
    model_id: str | None = col("the p-MOS model the statistics are of")
    n: int = col("clips with a p-MOS")
    mu: float | None = col("mean", unit="MOS")
    sigma: float | None = col("population standard deviation", unit="MOS")
    skew: float | None = col("third standardised moment")
    quantiles: list[float] | None = col("0, 1, 5, 25, 50, 75, 95, 99, 100 %", unit="MOS")
    edges: list[float] | None = col("the four bounds between the five levels", unit="MOS")
    level_counts: list[float] | None = col("clips at level 1, 2, 3, 4, 5")


@table(
    "levels",
    1,
    station="quantize",
    keys=("clip_id", "grouping"),
    order=22,
    in_full=True,
    in_funnel=True,
)
@dataclass(frozen=True, kw_only=True)
class Level(Row):
    """Quality level of each clip. Quantize writes (SQL), filter, export and training read."""

    quality_level: int | None = col("Q(s)", unit="1..5, 5 is best", arrow=pa.int8())
    quality_prefix: str | None = col("text before the caption, or null in the paper's gaps")
    grouping: str | None = col("the group of `bounds` it was made with")


@table("decisions", 1, station="filter", order=51, in_full=True, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Decision(Row):
    """Kept or not, with every reason against. Filter writes (SQL), export and report read."""

    kept: bool | None = col("true where no rule speaks against the clip")
    drop_reasons: list[str] | None = col("every rule that speaks against it")


@table("latents", 1, station="latents", order=61)
@dataclass(frozen=True, kw_only=True)
class Latent(Row):
    """The latent of each clip. A codec station writes, the trainer reads.

    Stored as the codec gives it; the trainer multiplies by `scale`. Row groups are small and the
    latents are not compressed (float noise does not shrink), so that one clip is read at random
    without reading its neighbours.
    """

    ROW_GROUP: ClassVar[int] = 8
    COMPRESSION: ClassVar[dict[str, Any]] = {"latent": "NONE"}

    latent: bytes | None = col("the latent, C order", unit="float16 [C, T, F]")
    shape: list[int] | None = col("C, T, F", arrow=pa.list_(pa.int32()))
    scale: float | None = col("factor that gives the set a standard deviation of 1", arrow=F32)
    codec: str | None = col("the codec that made it, with its weights")


@table("text_states", 1, station="latents", keys=("text",), order=62)
@dataclass(frozen=True, kw_only=True)
class TextStates:
    """The token states of each unique text, whole prompts and the empty text among them.

    Padding is not stored: `tokens` is the true length. Written by a text encoder, read by the
    trainer, which cuts at its own limit of tokens, the quality prefix counted.
    """

    ROW_GROUP: ClassVar[int] = 16
    COMPRESSION: ClassVar[dict[str, Any]] = {"states": "NONE"}

    text: str = key("the text; unique in the table")
    tokens: int | None = col("its length in tokens, at least 1")
    width: int | None = col("length of a state")
    states: bytes | None = col("the states, C order", unit="float16 [tokens, width]")
    encoder: str | None = col("the text encoder, with its weights")


TABLES: tuple[type, ...] = declared()
