"""The table `matches`: how audio, original and generated caption fit, in numbers.

Beside the three similarities, how near the audio is to captions of *other* files: the mean and the
deviation over a fixed sample of the set's own readable originals. An original that fits its audio no
better than strangers' captions do is wrong, whatever its similarity: that needs no label and no
threshold of the model's own scale. The sample follows from the set, so that a set that has grown is
measured again; embeddings are stored, and no model runs.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np

from ...pipeline.dataset import Dataset
from ...pipeline.file_blocks import BlockJob, by_file
from ...pipeline.job import Unit, output
from ...pipeline.views import connect
from ...schemas.errors import ConfigError, StoreError
from ...schemas.tables import Match
from ..ingest.source_captions import WEAK

VERSION = 1
OTHERS = 256  # captions in the sample
LEAST_OTHERS = 12  # files with another caption, below which nothing is said of others

_SAMPLE = """
SELECT c.caption, any_value(t.embedding) AS embedding
FROM clips c JOIN texts t ON t.text = c.caption
WHERE c.skip IS NULL AND c.caption_source IS DISTINCT FROM $weak
  AND len(list_filter(t.guards, lambda g: g <> 'wrong_language')) = 0
GROUP BY c.caption ORDER BY md5(c.caption), c.caption LIMIT $others
"""


class MatchJob(BlockJob):
    """A Job: makes `matches` from stored embeddings."""

    PLAN = """
    SELECT c.clip_id, c.path, c.window_index, c.caption, e.embedding,
           o.embedding AS original, g.embedding AS generated,
           CASE WHEN e.status = 'error' THEN e.error_type || ': ' || e.error_message
                WHEN n.status = 'error' THEN n.error_type || ': ' || n.error_message END AS problem
    FROM clips c JOIN clap e USING (clip_id) JOIN generated n USING (clip_id)
    LEFT JOIN texts o ON o.text = c.caption LEFT JOIN texts g ON g.text = n.generated
    WHERE c.skip IS NULL
    """

    def __init__(self, dataset: Dataset, limit: int | None = None) -> None:
        """`texts` must be current and whole. Raises ConfigError where the stored embeddings of the
        clips are of another model than those of the texts."""
        self.dataset = dataset
        texts = same_model(dataset)
        digest = hashlib.sha256("\n".join(self.sample[0]).encode()).hexdigest()
        out = output(
            dataset, Match, VERSION, {"sample": digest}, ("clips", "clap", "generated", "texts"),
            str(texts["model_id"]),
        )  # fmt: skip
        super().__init__(dataset, (out,), "match", limit)

    @cached_property
    def sample(self) -> tuple[list[str], np.ndarray]:
        """Captions of the set, and their vectors float32 [m, dim]."""
        with connect(self.dataset) as con:
            rows = con.execute(_SAMPLE, {"weak": WEAK, "others": OTHERS}).fetchall()
        vectors = np.array([vector for _, vector in rows], np.float32)
        return [text for text, _ in rows], vectors

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "sample"}

    def rows(self, unit: Unit) -> list[Match]:
        return [self._row(row) for _, pending in by_file(unit) for row in pending]

    def _row(self, row: dict[str, Any]) -> Match:
        audio = np.asarray(row["embedding"], np.float32)
        original = None if row["original"] is None else np.asarray(row["original"], np.float32)
        generated = None if row["generated"] is None else np.asarray(row["generated"], np.float32)
        captions, vectors = self.sample
        others = [i for i, caption in enumerate(captions) if caption != row["caption"]]
        enough = len(others) >= LEAST_OTHERS
        near = vectors[others] @ audio if enough else np.zeros(0, np.float32)
        return Match(
            clip_id=row["clip_id"],
            sim_original=_cosine(audio, original),
            sim_generated=_cosine(audio, generated),
            sim_texts=None if original is None else _cosine(original, generated),
            others_mean=float(near.mean()) if enough else None,
            others_deviation=float(near.std()) if enough else None,
            others=len(others),
            match_model=self.outputs[0].about["model_id"],
        )


def same_model(dataset: Dataset) -> Any:
    """What `texts` was made from. Raises ConfigError where `clap` is another model's."""
    clap, texts = dataset.current("clap"), dataset.current("texts")
    if clap is None or texts is None:
        raise StoreError(f"{dataset.root} lacks clap or texts: run `qamdt-curate score` and refine")
    models = [(s.about["model_id"], s.about["weights"]) for s in (clap, texts)]
    if models[0] != models[1]:
        raise ConfigError(
            f"the embeddings in {dataset.root} are of {models[0][0]}, and match = {models[1][0]} was "
            "asked for: cosines between two models mean nothing; name the model that scored, or run "
            "`qamdt-curate score` again"
        )
    return texts.about


def _cosine(one: np.ndarray, other: np.ndarray | None) -> float | None:
    return None if other is None else float(np.dot(one, other))
