"""Export: the kept clips as Parquet shards that `datasets` reads, with audio, and a dataset card.

    shards/<fingerprint>/part-*.parquet     audio, caption, prompt, level, scores: a row a kept clip
    shards/<fingerprint>/README.md          the card: counts, licences, mu, sigma, models, thresholds

The audio column is Hugging Face's Audio feature: FLAC bytes of exactly the clip, at the file's own
rate, or the path alone. A kept clip that cannot be read any more is a row of `shard_errors`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pyarrow as pa

from ...audio.decode import read_windows
from ...audio.encode import encode
from ...audio.sound import Sound
from ...pipeline.audio_pass import BLOCK, check_unchanged
from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, Unit, error_columns
from ...pipeline.sql_table import sql_output
from ...pipeline.views import connect, create_view, one_row, stream
from ...schemas.arrow import col, key, table
from ...schemas.errors import AudioError
from ...schemas.prompt import prompt_of
from ...schemas.tables import F32, Row
from ..config import ExportConfig

VERSION = 1
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@table("shards", 1, keys=("clip_id", "path"))
@dataclass(frozen=True, kw_only=True)
class Shard:
    """One kept clip, whole: what a trainer reads."""

    HUGGINGFACE: ClassVar[dict[str, Any]] = {"audio": {"_type": "Audio"}}
    ROW_GROUP: ClassVar[int] = 64  # 10 s of stereo FLAC are about 1 MB: far below 100 MB a group

    clip_id: str = key("hash of file bytes, start and duration")
    audio: dict[str, Any] | None = col("FLAC bytes, or null; and the file's path", arrow=AUDIO)
    caption: str | None = col("the final caption")
    prompt: str | None = col("quality prefix and caption, as the trainer reads it")
    quality_level: int | None = col("Q(s)", unit="1..5, 5 is best", arrow=pa.int8())
    quality_prefix: str | None = col("low, medium or high quality, or null")
    pmos: float | None = col("pseudo MOS", unit="1..5", arrow=F32)
    similarity: float | None = col("audio and caption", unit="-1..1", arrow=F32)
    caption_from: str | None = col("original, generated or merged")
    original_caption: str | None = col("the caption that came with the audio")
    tags: list[str] | None = col("tags that came with the audio")
    heard_tags: list[str] | None = col("tags that were heard, most probable first")
    tempo_bpm: float | None = col("tempo", unit="BPM", arrow=F32)
    key: str | None = col("key")
    loudness_lufs: float | None = col("integrated loudness", unit="LUFS", arrow=F32)
    path: str | None = col("file it came from")
    start_s: float | None = col("start in the file", unit="s")
    duration_s: float | None = col("duration", unit="s")
    source: str | None = col("data set or collection")
    licence: str | None = col("licence as stated")
    pmos_model: str | None = col("model of pmos")
    match_model: str | None = col("model of similarity")
    llm_model: str | None = col("model that merged captions")
    status: str = "ok"


@table("shard_errors", 1)
@dataclass(frozen=True, kw_only=True)
class ShardError(Row):
    """A kept clip that could not be exported."""


_PLAN = """
SELECT c.* EXCLUDE (embedding), f.size_bytes, f.mtime_ns FROM clips_full c JOIN files f USING (path)
ANTI JOIN done d ON d.clip_id = c.clip_id ANTI JOIN failed e ON e.clip_id = c.clip_id
WHERE c.kept
"""


@dataclass
class ExportJob:
    """A Job: makes `shards` of all kept clips."""

    dataset: Dataset
    config: ExportConfig
    limit: int | None = None
    name: str = "export"
    largest_bundle: int = 256  # rows of about 1 MB each

    def __post_init__(self) -> None:
        reads = ["clips", "files", "decisions", "levels", "captions", "pmos", "tags", "music"]
        self.outputs: tuple[Output, ...] = tuple(
            sql_output(self.dataset, cls, VERSION, asdict(self.config), reads)
            for cls in (Shard, ShardError)
        )

    def total(self) -> int:
        with self._planned() as con:
            (n,) = one_row(con, f"SELECT count(*) FROM ({_PLAN})")  # noqa: S608
        return min(n, self.limit) if self.limit is not None else n

    def units(self) -> Iterator[Unit]:
        with self._planned() as con:
            rows = itertools.islice(
                stream(con, f"{_PLAN} ORDER BY c.path, c.window_index"), self.limit
            )
            for _, block in itertools.groupby(
                rows, lambda r: (r["path"], r["window_index"] // BLOCK)
            ):
                yield Unit(tuple(block))

    def open(self) -> None:
        """Nothing to load."""

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        rows: dict[type, list[Any]] = {Shard: [], ShardError: []}
        for unit in units:
            for row, audio in zip(unit.rows, self._audio(unit), strict=True):
                if isinstance(audio, AudioError):
                    rows[ShardError].append(_error(row, audio))
                else:
                    rows[Shard].append(_shard(row, audio))
        return rows

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {ShardError: [_error(row, error) for row in unit.rows]}

    def _planned(self) -> Any:
        con = connect(self.dataset)
        for out, name in zip(self.outputs, ("done", "failed"), strict=True):
            create_view(con, out.cls, self.dataset, out.fingerprint, name)
        return con

    def _audio(self, unit: Unit) -> Iterator[dict[str, Any] | AudioError]:
        first = unit.rows[0]
        try:
            check_unchanged(first)
        except AudioError as error:
            yield from (error for _ in unit.rows)
            return
        if self.config.audio == "path":
            yield from ({"bytes": None, "path": row["path"]} for row in unit.rows)
            return
        windows = [(r["start_s"], r["duration_s"]) for r in unit.rows]
        for row, item in zip(unit.rows, read_windows(first["path"], windows), strict=True):
            yield (
                item
                if isinstance(item, AudioError)
                else {
                    "bytes": flac(item),
                    "path": f"{row['clip_id']}.flac",
                }
            )


def flac(sound: Sound) -> bytes:
    """A sound as 16-bit FLAC; samples beyond full scale are clipped, as any 16-bit player does."""
    return encode(sound.samples, sound.rate_hz, format="FLAC", subtype="PCM_16")


def _shard(row: dict[str, Any], audio: dict[str, Any]) -> Shard:
    same = (
        "clip_id quality_level quality_prefix pmos caption_from tags tempo_bpm key loudness_lufs"
        " path start_s duration_s source licence pmos_model match_model llm_model"
    ).split()
    return Shard(
        audio=audio,
        caption=row["refined_caption"],
        prompt=prompt_of(row["quality_prefix"], row["refined_caption"]),
        similarity=row["sim_final"],
        original_caption=row["caption"],
        heard_tags=row["tag_names"],
        **{name: row[name] for name in same},
    )


def _error(row: dict[str, Any], error: Exception) -> ShardError:
    return ShardError(clip_id=row["clip_id"], **error_columns(error))
