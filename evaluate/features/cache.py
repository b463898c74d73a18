"""The feature cache: embeddings, logits and scores in tables keyed by content, read back as arrays.

A cache folder is a dataset folder (`pipeline/dataset.py`): one table per kind of model, one state of
it per model, weights and front end. A row's clip_id is the hash of the file's bytes and of the
stretch that was used, so a changed file is another clip and a renamed one is the same.
Embeddings are stored as float32 and summed as float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as pd

from ...pipeline.dataset import Dataset
from ...pipeline.job import Output
from ...schemas.arrow import col, table
from ...schemas.tables import ModelRow, Pmos, Signal


@dataclass(frozen=True, kw_only=True)
class EmbeddingRow(ModelRow):
    """The embedding of one clip, or of one text, by one model."""

    COMPRESSION: ClassVar[dict[str, Any]] = {"embedding": "NONE"}

    rows: int | None = col("rows of the embedding")
    embedding: bytes | None = col("the rows, C order", unit="float32 [rows, D]")
    logits: bytes | None = col("class logits of the clip, or null", unit="float32 [C]")


@table("heard_tagger", 1)
class TaggerFeatures(EmbeddingRow):
    """By the tagger."""


@table("heard_match", 1)
class MatchFeatures(EmbeddingRow):
    """By an audio-text model."""


@table("heard_vggish", 1)
class VggishFeatures(EmbeddingRow):
    """By VGGish."""


@table("heard_panns", 1)
class PannsFeatures(EmbeddingRow):
    """By PANNs."""


@table("heard_wav2vec2", 1)
class Wav2Vec2Features(EmbeddingRow):
    """By wav2vec 2.0 or its kin."""


@table("embedder", 1)
class PluginFeatures(EmbeddingRow):
    """By an embedder from outside the package; model, weights and front end tell them apart."""


@table("read_texts", 1)
class TextFeatures(EmbeddingRow):
    """Of texts, by an audio-text model; clip_id is the hash of the text."""


@dataclass(frozen=True, eq=False)
class CachedFeatures:
    """A row read back. error: None, or why there is nothing, as 'Type: message'.

    rows: float32 [rows, D]. logits: float32 [C] or None. values: columns of p-MOS and signal.
    """

    error: str | None = None
    rows: np.ndarray | None = None
    logits: np.ndarray | None = None
    values: dict[str, Any] | None = None


def done_ids(cache: Dataset, output: Output) -> set[str]:
    """The clip ids that a state of a table has rows of."""
    parts = cache.parts(output.table, output.fingerprint)
    if not parts:
        return set()
    column = pd.dataset(parts).to_table(columns=["clip_id"]).column("clip_id")
    return set(column.to_pylist())


def read_back(cache: Dataset, output: Output, ids: Sequence[str]) -> dict[str, CachedFeatures]:
    """The rows of some clips in a state of a table, by clip id."""
    parts = cache.parts(output.table, output.fingerprint)
    if not parts:
        return {}
    wanted = pc.field("clip_id").isin(sorted(set(ids)))
    rows = pd.dataset(parts).to_table(filter=wanted).to_pylist()
    return {row["clip_id"]: _features_of(row) for row in rows}


def _features_of(row: dict[str, Any]) -> CachedFeatures:
    if row["status"] != "ok":
        return CachedFeatures(error=f"{row['error_type']}: {row['error_message']}")
    if "embedding" not in row:
        return CachedFeatures(values=row)
    rows = np.frombuffer(row["embedding"], np.float32).reshape(row["rows"], -1)
    logits = None if row["logits"] is None else np.frombuffer(row["logits"], np.float32)
    return CachedFeatures(rows=rows, logits=logits)


TABLES: tuple[type, ...] = (
    TaggerFeatures, MatchFeatures, VggishFeatures, PannsFeatures, Wav2Vec2Features, PluginFeatures,
    TextFeatures, Pmos, Signal,
)  # fmt: skip
