"""Search: the clips nearest to a text, a sound or another clip, by the stored embeddings.

Exact cosine over every row of the table `clap`, computed by DuckDB as it reads: at a million clips
that is seconds and no index, and nothing but an id and a number of each clip is ever held. The
question is embedded by the model that made the rows; a row of another one would be a wrong answer
that looks right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from ..audio.decode import decode_window
from ..audio.probe import probe
from ..models.clap.base import MatchModel
from ..pipeline.dataset import Dataset
from ..pipeline.views import connect, one_row
from ..schemas.errors import ConfigError, StoreError
from .config import ModelsConfig
from .roles import lazy

LONGEST_S = 60.0  # of a sound asked by, where no length is given

# An error row, an embedding of another length, one with a NaN: each gives null or NaN, never an
# error. {dim} is a number of ours: a type takes no parameter.
_COMPARE = """
CREATE TEMP TABLE compared AS
SELECT w.clip_id, w.path, array_cosine_similarity(
         TRY_CAST(e.embedding AS FLOAT[{dim}]), $query::FLOAT[{dim}]) AS similarity
FROM wanted w JOIN clap e USING (clip_id)
"""
_COUNT = """
SELECT count(*) FILTER (NOT isnan(similarity)),
       count(*) FILTER (similarity IS NULL OR isnan(similarity)) FROM compared
"""
_NEAREST = """
CREATE TEMP TABLE nearest AS
SELECT clip_id, similarity FROM compared WHERE NOT isnan(similarity)
QUALIFY $per_file IS NULL
     OR row_number() OVER (PARTITION BY path ORDER BY similarity DESC, clip_id) <= $per_file
ORDER BY similarity DESC, clip_id LIMIT $most
"""
_SHOWN = """
SELECT n.similarity, c.clip_id, c.path, c.start_s, c.duration_s, c.pmos, c.quality_level, c.kept,
       coalesce(c.refined_caption, c.caption)
FROM clips_full c JOIN nearest n USING (clip_id) ORDER BY n.similarity DESC, c.clip_id
"""


@dataclass(frozen=True)
class Hit:
    """One clip found.

    rank: 1, 2, ... similarity: cosine, -1..1. caption: the refined one where there is one. pmos,
    level, kept: None where that station has not run.
    """

    rank: int
    similarity: float
    clip_id: str
    path: str
    start_s: float
    duration_s: float
    pmos: float | None
    level: int | None
    kept: bool | None
    caption: str | None


@dataclass(frozen=True)
class SearchResult:
    """The answer. compared: clips looked at; without: clips that have no usable embedding."""

    hits: tuple[Hit, ...]
    compared: int
    without: int
    model_id: str


def search(
    dataset: Dataset,
    query: np.ndarray,
    most: int = 10,
    where: str | None = None,
    kept_only: bool = False,
    per_file: int | None = None,
) -> SearchResult:
    """The clips whose embeddings have the largest cosine with `query`, equal ones by clip_id.

    query: [dim], of any length but 0. where: one SQL condition on columns of `clips_full`.
    kept_only: only what the filter station kept. per_file: at most so many of one file.
    Raises StoreError where there are no embeddings or the condition cannot be understood,
    ConfigError for a query that is all zeros or not finite.
    """
    model_id, _ = made_by(dataset)
    if not np.isfinite(query).all() or not np.any(query):
        raise ConfigError("the question says nothing that the model understands: its vector is 0")
    if most < 1 or (per_file is not None and per_file < 1):
        raise ConfigError(f"most = {most}, per_file = {per_file}: expected at least 1")
    if kept_only and dataset.current("decisions") is None:
        raise StoreError(f"{dataset.root}: nothing is decided; run `qamdt-curate filter` first")
    with connect(dataset) as con:
        try:
            _select(con, where, kept_only)
            con.execute(_COMPARE.format(dim=len(query)), {"query": query.astype(float).tolist()})
            compared, without = one_row(con, _COUNT)
            con.execute(_NEAREST, {"per_file": per_file, "most": most})
            rows = con.execute(_SHOWN).fetchall()
        except duckdb.Error as error:
            raise StoreError(f"cannot be answered (where = {where!r}): {error}") from error
    hits = tuple(Hit(rank, *row) for rank, row in enumerate(rows, 1))
    return SearchResult(hits, compared, without, model_id)


def embed_text(dataset: Dataset, text: str, models: ModelsConfig) -> np.ndarray:
    """A text as a query, float32 [dim]."""
    return np.asarray(_model(dataset, models).embed_text([text])[0])


def embed_sound(
    dataset: Dataset,
    path: Path,
    models: ModelsConfig,
    start_s: float = 0.0,
    seconds: float | None = None,
) -> np.ndarray:
    """A stretch of a file as a query, float32 [dim]; None: to its end, 60 s at most."""
    length = min(probe(path).duration_s - start_s, LONGEST_S) if seconds is None else seconds
    sound = decode_window(path, start_s, length)
    return np.asarray(_model(dataset, models).embed_audio([sound])[0])


def embedding_of(dataset: Dataset, clip_id: str) -> np.ndarray:
    """The stored embedding of a clip, as a query. Raises ConfigError when there is none."""
    made_by(dataset)
    with connect(dataset) as con:
        rows = con.execute(
            "SELECT embedding FROM clap WHERE clip_id = ? AND status = 'ok'", [clip_id]
        ).fetchall()
    if not rows:
        raise ConfigError(f"clip {clip_id!r} has no embedding in {dataset.root}")
    return np.array(rows[0][0], np.float32)


def made_by(dataset: Dataset) -> tuple[str, str]:
    """(model id, digest of its weights) of the stored embeddings.

    Raises StoreError when there are none, when they are stale, or when they are of two models.
    """
    if dataset.current("clap") is None:
        raise StoreError(f"{dataset.root} has no embeddings; run `qamdt-curate score` first")
    if parent := dataset.stale_parent("clap"):
        raise StoreError(
            f"the embeddings in {dataset.root} are stale: {parent} has changed since; run "
            "`qamdt-curate score` again"
        )
    with connect(dataset) as con:
        models: Sequence[tuple[str, str]] = con.execute(
            "SELECT DISTINCT model_id, weights FROM clap WHERE status = 'ok' ORDER BY ALL"
        ).fetchall()
    if len(models) != 1:
        names = ", ".join(f"{name} ({weights})" for name, weights in models) or "none"
        raise StoreError(f"{dataset.root}: embeddings of one model are expected, found {names}")
    return models[0]


def _model(dataset: Dataset, models: ModelsConfig) -> MatchModel:
    """The match model that the configuration names, if the embeddings are its own."""
    model: MatchModel = lazy(models, "match").opened
    wanted, given = made_by(dataset), (model.model_id, model.digest)
    if wanted != given:
        raise ConfigError(
            f"the embeddings in {dataset.root} are of {wanted[0]} (weights {wanted[1]}), and match "
            f"= {models.match!r} is {given[0]} (weights {given[1]}): their cosines mean nothing; "
            "name the model that made them with --match, or run `qamdt-curate score` with this one"
        )
    return model


def _select(con: duckdb.DuckDBPyConnection, where: str | None, kept_only: bool) -> None:
    """The view `wanted`: clip_id and path of the clips that may be found."""
    clips = con.table("clips_full")
    if kept_only:
        clips = clips.filter("kept")
    if where:
        clips = clips.filter(where)  # DuckDB takes one expression here, and no statement
    clips.project("clip_id, path").create_view("wanted")
