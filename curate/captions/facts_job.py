"""The table `facts`: what the scores say of a clip, and of its whole file, as facts.

A tag is a fact from the tagger's own threshold for it. An instrument must be surer: its probability,
calibrated (Platt's sigmoid in weights/tags-mini.json), must reach
`min_instrument_probability`; a wrong instrument in a
caption does more harm than a missing one. A genre that stands in the file's own tags is taken
instead of what is heard.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...models.ref import resolve
from ...pipeline.dataset import Dataset
from ...pipeline.file_blocks import BlockJob, by_file
from ...pipeline.job import Unit, output
from ...schemas.errors import ConfigError
from ...schemas.plugins import kinds
from ...schemas.tables import Fact
from ..config import CaptionConfig, ModelsConfig
from ..guards.rules import text_guards
from ..guards.sources import file_tags
from ..ingest.source_captions import WEAK
from .facts import INSTRUMENTS, Facts, describe, facts_of, mean_probabilities

VERSION = 1
READS = ("clips", "tags", "music", "signal")
GENRE_WORDS = 3  # longer ones are no genres


class FactsJob(BlockJob):
    """A Job: makes `facts`. Runs no model."""

    PLAN = """
    SELECT c.clip_id, c.path, c.window_index, c.caption, c.caption_source, t.tag_names,
           t.tag_probabilities, m.tempo_bpm, m.tempo_confidence, m."key", m.key_confidence,
           s.loudness_lufs,
           CASE WHEN t.status = 'error' THEN t.error_type || ': ' || t.error_message END AS problem
    FROM clips c JOIN tags t USING (clip_id)
    LEFT JOIN music m USING (clip_id) LEFT JOIN signal s USING (clip_id)
    WHERE c.skip IS NULL
    """

    def __init__(
        self, dataset: Dataset, config: CaptionConfig, models: ModelsConfig, limit: int | None
    ) -> None:
        """Raises ConfigError where the tagger's limits are wanted and the tags are another's."""
        self.limits = limits_of(dataset, config, models)
        digest = hashlib.sha256(repr(self.limits).encode()).hexdigest()
        out = output(dataset, Fact, VERSION, {"limits_sha256": digest}, READS)
        super().__init__(dataset, (out,), "facts", limit)

    def rows(self, unit: Unit) -> list[Fact]:
        facts = []
        for rows, pending in by_file(unit):
            of_file = facts_in(rows, self.limits)
            facts += [_row(row, facts_in([row], self.limits), of_file) for row in pending]
        return facts


def facts_in(rows: Sequence[Mapping[str, Any]], limits: float | Mapping[str, float]) -> Facts:
    """Facts of one clip, or of a file: mean probabilities, tempo and key of its clearest clip."""
    tempo = max(rows, key=lambda r: r["tempo_confidence"] or 0.0)
    key = max(rows, key=lambda r: r["key_confidence"] or 0.0)
    facts = facts_of(
        mean_probabilities([(r["tag_names"], r["tag_probabilities"]) for r in rows]),
        limits,
        (tempo["tempo_bpm"], tempo["tempo_confidence"]),
        (key["key"], key["key_confidence"]),
        rows[0]["loudness_lufs"],
    )
    genre = _genre_of_file(rows[0])
    return replace(facts, genres=(genre,)) if genre else facts


def limits_of(
    dataset: Dataset, config: CaptionConfig, models: ModelsConfig
) -> float | dict[str, float]:
    """From which probability a tag counts. Raises ConfigError."""
    if config.min_tag is not None:
        return config.min_tag
    from ...models.tags.kinds import TAGGERS

    tagger = resolve(models.tagger, kinds("tagger", TAGGERS))
    tags = dataset.current("tags")
    made_by = (tags.about["model_id"], tags.about["weights"]) if tags else ("", "")
    if made_by != (tagger.model_id, tagger.digest):
        raise ConfigError(
            f"the tags in {dataset.root} are of {made_by[0] or 'nobody'}, and tagger = "
            f"{models.tagger!r} is {tagger.model_id}, whose thresholds are its own: name "
            "the tagger that made them, give one limit for all tags with --min-tag, or run "
            "`qamdt-curate score` again"
        )
    return instrument_thresholds(
        tagger.thresholds, tagger.sigmoids, config.min_instrument_probability
    )


def instrument_thresholds(
    thresholds: Mapping[str, float],
    sigmoids: Mapping[str, tuple[float, float]],
    least: float | None,
) -> dict[str, float]:
    """The thresholds, those of instruments raised to where their calibrated probability is `least`.

    An instrument that was not calibrated is not named. least: None leaves all as they are.
    """
    raised = dict(sorted(thresholds.items()))
    if least is None:
        return raised
    for word in INSTRUMENTS.keys() & thresholds.keys():
        if word not in sigmoids:
            del raised[word]
            continue
        slope, offset = sigmoids[word]
        z = (math.log(least / (1 - least)) - offset) / slope
        raised[word] = max(raised[word], 1 / (1 + math.exp(-z)))
    return raised


def _genre_of_file(row: Mapping[str, Any]) -> str | None:
    """The genre that the file's own tags name, in lower case, where it reads like one."""
    if row["caption_source"] != WEAK:
        return None
    genre = file_tags(row["caption"]).get("genre", "").lower()
    fit = genre and len(genre.split()) <= GENRE_WORDS and not text_guards(genre)
    return genre if fit and genre not in ("other", "unknown", "misc", "game") else None


def _row(row: Mapping[str, Any], clip: Facts, of_file: Facts) -> Fact:
    return Fact(
        clip_id=row["clip_id"],
        genres=list(clip.genres),
        instruments=list(clip.instruments),
        moods=list(clip.moods),
        vocals=clip.vocals,
        voice=clip.voice,
        tempo_bpm=clip.tempo_bpm,
        tempo_sure=clip.tempo_sure,
        key=clip.key,
        loudness_lufs=clip.loudness_lufs,
        file_sentence=describe(of_file),
        file_heard=sorted(of_file.words),
        file_vocals=of_file.vocals,
    )


def facts_from_row(row: Mapping[str, Any]) -> Facts:
    """The facts of a clip that a row of `facts` holds."""
    return Facts(
        genres=tuple(row["genres"]),
        instruments=tuple(row["instruments"]),
        moods=tuple(row["moods"]),
        vocals=row["vocals"],
        voice=row["voice"],
        tempo_bpm=row["tempo_bpm"],
        tempo_sure=bool(row["tempo_sure"]),
        key=row["key"],
        loudness_lufs=row["loudness_lufs"],
    )
