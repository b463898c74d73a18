"""Refine: what is heard -> a plain caption -> similarity check -> LLM merge -> guards -> choice.

The unit is a block of files. The LLM is asked once per unique (caption, facts of the track), all
prompts of a unit in one batch; every clip of the track then weighs the answer against its own
audio. A clip whose tags or embedding are errors gets an error row that says so.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..models.ref import pick_device, resolve
from ..schemas.errors import ConfigError, ModelError
from ..schemas.job import Output, Unit, error_columns, output
from ..schemas.store import Dataset
from ..schemas.tables import Caption
from ..schemas.views import connect, create_view, one_row, stream
from . import guards
from .captions_given import WEAK
from .choose import Candidate, choose
from .config import ModelsConfig, RefineConfig
from .facts import Facts, describe, facts_of, mean_probabilities

VERSION = 2
FILES_A_UNIT = 8
READS = ("clips", "clap", "tags", "music", "signal")
PROMPTS = Path(__file__).parent / "prompts"

_PLAN = """
SELECT * FROM (
  SELECT c.clip_id, c.path, c.window_index, c.caption, c.caption_source, t.tag_names,
         t.tag_probabilities, m.tempo_bpm, m.tempo_confidence, m."key", m.key_confidence,
         s.loudness_lufs, e.embedding,
         CASE WHEN e.status = 'error' THEN e.error_type || ': ' || e.error_message
              WHEN t.status = 'error' THEN t.error_type || ': ' || t.error_message END AS problem,
         (dense_rank() OVER (ORDER BY c.path) - 1) // $files AS block,
         d.clip_id IS NULL AS pending
  FROM clips c JOIN clap e USING (clip_id) JOIN tags t USING (clip_id)
  LEFT JOIN music m USING (clip_id) LEFT JOIN signal s USING (clip_id)
  LEFT JOIN (SELECT clip_id FROM done) d USING (clip_id)
  WHERE c.skip IS NULL
) QUALIFY bool_or(pending) OVER (PARTITION BY block)
"""


@dataclass
class RefineJob:
    """A Job: makes `captions`.

    The whole block of a pending clip is planned, so that track facts and LLM batches are the same
    in a resumed run; rows are made for its pending clips alone.
    """

    dataset: Dataset
    config: RefineConfig
    models: ModelsConfig
    limit: int | None = None
    name: str = "refine"

    def __post_init__(self) -> None:
        self.prompt = _prompt(self.config.prompt)
        self.prompt_sha256 = hashlib.sha256(self.prompt.encode()).hexdigest()
        from ..models.llm import LLMS
        from ..models.match import MATCHERS

        match, llm = resolve(self.models.match, MATCHERS), resolve(self.models.llm, LLMS)
        ids = [match.model_id, llm.model_id if llm else "none"]
        digests = [match.digest, llm.digest if llm else ""]
        self.limits = self._limits()
        params = asdict(self.config) | {"prompt_sha256": self.prompt_sha256}
        params["limits_sha256"] = hashlib.sha256(repr(self.limits).encode()).hexdigest()
        self.outputs: tuple[Output, ...] = (
            output(
                self.dataset, Caption, VERSION, params, READS, " + ".join(ids), " ".join(digests)
            ),
        )

    def _limits(self) -> float | dict[str, float]:
        """From which probability a tag counts; raises ConfigError where the tagger's own limits
        are wanted and the stored tags are another's."""
        if self.config.min_tag is not None:
            return self.config.min_tag
        from ..models.tagger import TAGGERS

        tagger = resolve(self.models.tagger, TAGGERS)
        tags = self.dataset.current("tags")
        made_by = (tags.about["model_id"], tags.about["weights"]) if tags else ("", "")
        if made_by != (tagger.model_id, tagger.digest):
            raise ConfigError(
                f"the tags in {self.dataset.root} are of {made_by[0] or 'nobody'}, and tagger = "
                f"{self.models.tagger!r} is {tagger.model_id}, whose thresholds are its own: name "
                "the tagger that made them, give one limit for all tags with --min-tag, or run "
                "`qamdt-curate score` again"
            )
        return dict(sorted(tagger.thresholds.items()))

    @cached_property
    def match(self) -> Any:
        from ..models.match import MATCHERS

        return resolve(self.models.match, MATCHERS, device=pick_device(self.models.device))

    @cached_property
    def llm(self) -> Any:
        from ..models.llm import LLMS

        return resolve(self.models.llm, LLMS, device=pick_device(self.models.device))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("match", "llm")}

    def open(self) -> None:
        _ = self.match, self.llm

    def total(self) -> int:
        with connect(self.dataset) as con:
            create_view(con, Caption, self.dataset, self.outputs[0].fingerprint, "done")
            (n,) = one_row(
                con,
                f"SELECT count(*) FROM ({_PLAN}) WHERE pending",  # noqa: S608
                {"files": FILES_A_UNIT},
            )
        return min(n, self.limit) if self.limit is not None else n

    def units(self) -> Iterator[Unit]:
        given = 0
        with connect(self.dataset) as con:
            create_view(con, Caption, self.dataset, self.outputs[0].fingerprint, "done")
            rows = stream(con, f"{_PLAN} ORDER BY path, window_index", {"files": FILES_A_UNIT})
            for _, block in itertools.groupby(rows, lambda r: r["block"]):
                if self.limit is not None and given >= self.limit:
                    return
                unit = Unit(tuple(block))
                given += sum(r["pending"] for r in unit.rows)
                yield unit

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        return {Caption: [row for unit in units for row in self._refine(unit)]}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {Caption: [_error(row, error) for row in unit.rows if row["pending"]]}

    def _refine(self, unit: Unit) -> list[Caption]:
        good = [row for row in unit.rows if row["problem"] is None]
        by_track = {p: list(rows) for p, rows in itertools.groupby(good, lambda r: r["path"])}
        generated = {row["clip_id"]: describe(self._facts([row])) for row in good}
        texts = {row["caption"] for row in good} | set(generated.values())
        vectors = self._embed(texts)
        merged = self._merge(by_track, generated, vectors)
        vectors |= self._embed({m for m in merged.values() if isinstance(m, str)})
        made = []
        for row in unit.rows:
            if not row["pending"]:
                continue
            if row["problem"]:
                made.append(_error(row, ModelError(f"nothing to refine by: {row['problem']}")))
                continue
            answer = merged.get((row["path"], row["caption"]))
            track = self._facts(by_track[row["path"]])
            made.append(self._row(row, generated[row["clip_id"]], answer, track, vectors))
        return made

    def _merge(
        self,
        by_track: Mapping[str, list[dict[str, Any]]],
        generated: Mapping[str, str],
        vectors: Mapping[str, np.ndarray],
    ) -> dict[tuple[str, str], str | Exception]:
        """The LLM's text for each (path, caption) that some clip believes and does not say itself."""
        if self.llm is None:
            return {}
        asked: dict[tuple[str, str], str] = {}
        for path, rows in by_track.items():
            heard = describe(self._facts(rows))
            for row in rows:
                caption = row["caption"]
                if not heard or row["caption_source"] == WEAK:
                    continue
                if len((caption or "").split()) >= self.config.rich_words:
                    continue
                if guards.of_any_text(caption, self.config.max_words):
                    continue
                believed = _similarity(row, vectors[caption]) >= self.config.keep_original
                plain = vectors.get(generated[row["clip_id"]])
                agree = plain is not None and vectors[caption] @ plain >= self.config.agree
                if believed and not agree:
                    asked[path, caption] = self.prompt.format(original=caption, facts=heard)
        prompts = sorted(set(asked.values()))
        texts = self.llm.complete(prompts, self.config.llm_max_tokens)
        answers = dict(zip(prompts, texts, strict=True))
        return {key: _clean(answers[prompt]) for key, prompt in asked.items()}

    def _facts(self, rows: Sequence[dict[str, Any]]) -> Facts:
        """Facts of one clip, or of a track: mean probabilities, tempo and key of its clearest clip."""
        tempo = max(rows, key=lambda r: r["tempo_confidence"] or 0.0)
        key = max(rows, key=lambda r: r["key_confidence"] or 0.0)
        return facts_of(
            mean_probabilities([(r["tag_names"], r["tag_probabilities"]) for r in rows]),
            self.limits,
            (tempo["tempo_bpm"], tempo["tempo_confidence"]),
            (key["key"], key["key_confidence"]),
            rows[0]["loudness_lufs"],
        )

    def _embed(self, texts: Collection[str | None]) -> dict[str, np.ndarray]:
        wanted = sorted(t for t in texts if t)
        return dict(zip(wanted, self.match.embed_text(wanted), strict=True)) if wanted else {}

    def _row(
        self,
        row: dict[str, Any],
        generated: str,
        answer: str | Exception | None,
        track: Facts,
        vectors: Mapping[str, np.ndarray],
    ) -> Caption:
        most = self.config.max_words

        def candidate(text: str | None, tripped: Sequence[str]) -> Candidate | None:
            if text is None:
                return None
            vector = vectors.get(text)
            similarity = None if vector is None else _similarity(row, vector)
            return Candidate(text, similarity, tuple(tripped))

        original = candidate(row["caption"], guards.of_any_text(row["caption"], most))
        plain = candidate(generated, guards.of_any_text(generated, most))
        fused = None
        tripped = [] if original is None else [f"original: {g}" for g in original.guards]
        if isinstance(answer, str):
            sources = guards.Sources(
                texts=(row["caption"] or "", generated, describe(track), " ".join(track.heard)),
                original=row["caption"] or "",
                vocals=track.vocals,
            )
            fused = candidate(answer, guards.of_merged(answer, sources, most))
            tripped += [f"merged: {g}" for g in fused.guards] if fused else []
        elif isinstance(answer, Exception):
            tripped.append(f"merged: {type(answer).__name__}: {answer}")
        choice = choose(
            original, plain, fused, row["caption_source"] == WEAK, self.config.keep_original
        )
        return Caption(
            clip_id=row["clip_id"],
            refined_caption=choice.text,
            caption_from=choice.came_from,
            caption_reason=choice.reason,
            generated=generated or None,
            merged=fused.text if fused else None,
            guards=tripped,
            sim_original=original.similarity if original else None,
            sim_generated=plain.similarity if plain else None,
            sim_merged=fused.similarity if fused else None,
            sim_final=choice.similarity,
            match_model=self.match.model_id,
            llm_model=self.llm.model_id if self.llm else None,
            prompt_sha256=self.prompt_sha256,
        )


def _prompt(name: str) -> str:
    """The text of a prompt: a name in `curate/prompts`, or a file of the user's."""
    for path in (PROMPTS / f"{name}.txt", Path(name)):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "{original}" in text and "{facts}" in text:
                return text
            raise ConfigError(f"{path}: a prompt must hold {{original}} and {{facts}}")
    known = ", ".join(sorted(p.stem for p in PROMPTS.glob("*.txt")))
    raise ConfigError(f"[refine] prompt = {name!r}: no such prompt; give a file, or one of {known}")


def _similarity(row: dict[str, Any], text: np.ndarray) -> float:
    """Cosine of the clip's stored embedding and a text's."""
    return float(np.dot(np.asarray(row["embedding"], np.float32), text))


def _clean(answer: list[str] | Exception) -> str | Exception:
    """The first sentence of an answer, without the quotes that chat models put around it."""
    if isinstance(answer, Exception):
        return answer
    text = " ".join(answer[0].split()).strip("\"'“” ")
    end = re.search(r"[.!?](?=\s+[A-Z])", text)
    return text[: end.end()] if end else text


def _error(row: dict[str, Any], error: Exception) -> Caption:
    return Caption(clip_id=row["clip_id"], **error_columns(error))
