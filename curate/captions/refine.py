"""The table `captions`: which text becomes the caption of each clip.

All it reads is stored: the check, the similarities, the LLM's answers, their embeddings and guards.
No model runs here, so that a new threshold costs as much as reading the tables. Every answer is held
to its sources, to the vocals and tempo found in the file and to the other answers of the set; the
candidates that pass are ranked by similarity to the clip's own audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import duckdb

from ...pipeline.dataset import Dataset
from ...pipeline.file_blocks import BlockJob, by_file
from ...pipeline.job import Unit, output
from ...pipeline.sql_table import parts_read
from ...pipeline.views import connect
from ...schemas.settings import params_of
from ...schemas.tables import Caption
from ..config import ModelsConfig, RefineConfig
from ..guards.near_duplicates import near_duplicates
from ..guards.sources import Sources, file_tags, names_in, source_guards
from ..ingest.source_captions import WEAK
from ..roles import lazy
from . import prompts
from .merge import REQUESTS, request_params
from .select import Candidate, Choice, Verdict, best_merged, select
from .verify import define_counted, limits_of

VERSION = 4
READS = ("clips", "clap", "facts", "generated", "texts", "matches", "checks")


class RefineJob(BlockJob):
    """A Job: makes `captions`."""

    PLAN = f"""
    SELECT c.clip_id, c.path, c.window_index, c.caption, c.caption_source, g.generated,
           g.model_id AS captioner, k.action, k.original_problem, k.generated_problem,
           m.sim_original, m.sim_generated, m.match_model, f.file_sentence, f.file_heard,
           f.file_vocals, f.tempo_bpm, q.request, q.prompt,
           a.error_type || ': ' || a.error_message AS answer_problem,
           counted(o.guards, o.words, o.tokens) AS original_guards, o.tokens AS original_tokens,
           counted(t.guards, t.words, t.tokens) AS generated_guards, t.tokens AS generated_tokens,
           (SELECT list({{'text': x.text, 'tokens': n.tokens,
                         'similarity': list_dot_product(e.embedding, n.embedding),
                         'guards': counted(n.guards, n.words, n.tokens)}} ORDER BY x.place)
            FROM (SELECT unnest(a.captions) AS text,
                         generate_subscripts(a.captions, 1) AS place) x
            JOIN texts n ON n.text = x.text) AS merged,
           CASE WHEN k.status = 'error' THEN k.error_type || ': ' || k.error_message END AS problem
    FROM clips c JOIN checks k USING (clip_id) JOIN matches m USING (clip_id)
    JOIN generated g USING (clip_id) JOIN clap e USING (clip_id)
    LEFT JOIN facts f USING (clip_id)
    LEFT JOIN texts o ON o.text = c.caption LEFT JOIN texts t ON t.text = g.generated
    LEFT JOIN ({REQUESTS}) q ON q.clip_id = c.clip_id AND $asked
    LEFT JOIN answers a ON a.request = q.request
    WHERE c.skip IS NULL
    """  # noqa: S608 - our own text

    def __init__(
        self,
        dataset: Dataset,
        config: RefineConfig,
        models: ModelsConfig,
        prefix_tokens: int,
        limit: int | None = None,
    ) -> None:
        """The tables of `READS`, and `answers` where there is an LLM, must be current."""
        self.config = config
        self._limits = limits_of(config, prefix_tokens)
        prompt = prompts.load(config.prompt, ("original", "facts"))
        self.prompt_sha256 = prompt.sha256
        llm = lazy(models, "llm").named
        self.llm_id = str(llm.model_id) if llm else None
        reads = (*READS, "answers") if llm else READS
        names = ("margin", "names", "near_dup_limit", "near_dup_similarity", "candidates")
        params = params_of(config, (*names, "llm_max_tokens"))
        params |= {"prompt_sha256": prompt.sha256, "llm": self.llm_id, **self._limits}
        if llm:
            params["parts_read"] = parts_read(dataset, ["answers"])
        out = output(dataset, Caption, VERSION, params, reads, self.llm_id or "none")
        plan = {**request_params(config, prompt), "asked": llm is not None}
        super().__init__(dataset, (out,), "refine", limit, plan)

    @cached_property
    def near_duplicates(self) -> Mapping[tuple[str, str], int]:
        """(original, merged text) -> other originals with nearly the same merged text."""
        if self.llm_id is None:
            return {}
        with connect(self.dataset) as con:
            params = {k: v for k, v in self.params.items() if k != "asked"}
            return near_duplicates(con, params, self.config.near_dup_similarity)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "near_duplicates"}

    def open(self) -> None:
        _ = self.near_duplicates

    def _connected(self) -> duckdb.DuckDBPyConnection:
        con = super()._connected()
        define_counted(con, self._limits)
        return con

    def rows(self, unit: Unit) -> list[Caption]:
        return [self._row(row) for _, pending in by_file(unit) for row in pending]

    def _row(self, row: Mapping[str, Any]) -> Caption:
        tags = file_tags(row["caption"]) if row["caption_source"] == WEAK else {}
        names = tuple(v for k, v in tags.items() if k in ("title", "artist"))
        names = () if self.config.names else names
        original = _candidate(row, "caption", "original", ("empty",), names)
        generated = _candidate(row, "generated", "generated", (), ())
        merged = self._merged(row, names)
        verdict = Verdict(row["action"], row["original_problem"], row["generated_problem"])
        choice = select(verdict, original, generated, merged, self.config.margin)
        best = best_merged(merged)
        return Caption(
            clip_id=row["clip_id"],
            refined_caption=choice.text,
            caption_from=choice.came_from,
            caption_reason=choice.reason,
            caption_doubt=choice.doubt,
            generated=row["generated"] or None,
            merged=best.text if best else None,
            guards=_tripped(original, generated, best, row["answer_problem"]),
            sim_original=row["sim_original"],
            sim_generated=row["sim_generated"],
            sim_merged=best.similarity if best else None,
            sim_final=choice.similarity,
            tokens=_tokens(row, choice),
            match_model=row["match_model"],
            captioner=row["captioner"],
            llm_model=self.llm_id,
            prompt_sha256=self.prompt_sha256,
            request=row["request"],
        )

    def _merged(self, row: Mapping[str, Any], names: tuple[str, ...]) -> list[Candidate]:
        """The LLM's texts, each with the guards that it trips."""
        original = row["caption"] or ""
        candidates = []
        for answer in row["merged"] or ():
            sources = Sources(
                texts=(original, row["generated"] or "", row["file_sentence"] or "",
                       " ".join(row["file_heard"] or ())),
                original=original,
                vocals=row["file_vocals"],
                tempo_bpm=row["tempo_bpm"],
                names=names,
                near_duplicates=self.near_duplicates.get((original, answer["text"]), 0),
                near_dup_limit=self.config.near_dup_limit,
            )  # fmt: skip
            guards = (*answer["guards"], *source_guards(answer["text"], sources))
            candidates.append(Candidate(answer["text"], answer["similarity"], guards))
        return candidates


def _candidate(
    row: Mapping[str, Any], text: str, kind: str, empty: tuple[str, ...], names: tuple[str, ...]
) -> Candidate | None:
    """Original or generated caption; None where there is none."""
    if row[text] is None:
        return None
    guards = tuple(row[f"{kind}_guards"] or ()) if row[text] else empty or ("empty",)
    if names_in(row[text], names):
        guards = (*guards, "names")
    return Candidate(row[text], row[f"sim_{kind}"], guards)


def _tripped(
    original: Candidate | None,
    generated: Candidate | None,
    merged: Candidate | None,
    answer_problem: str | None,
) -> list[str]:
    """Every guard of every text, as `merged: refusal`."""
    texts = (("original", original), ("generated", generated), ("merged", merged))
    guards = [f"{name}: {guard}" for name, text in texts if text for guard in text.guards]
    return guards + ([f"answer: {answer_problem}"] if answer_problem else [])


def _tokens(row: Mapping[str, Any], choice: Choice) -> int | None:
    if choice.came_from == "merged":
        return next(m["tokens"] for m in row["merged"] if m["text"] == choice.text)
    return row[f"{choice.came_from}_tokens"] if choice.came_from else None
