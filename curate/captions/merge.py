"""The table `answers`: what the LLM makes of a caption and of what is heard, each prompt asked once.

A cache that outlives parameters: its state depends on the LLM alone, a row is known by the hash of
the whole prompt, its schema, the limit of tokens and the number of candidates. New thresholds, new
guards and another audio-text model ask nothing again; a changed prompt asks everything.

Asked is once a (caption, facts of the file) of clips whose check says `merge`. The tags' captioner
gives the facts of the whole file; other captioners their text of the clip.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, Unit, error_columns, output
from ...pipeline.views import connect, create_view, one_row, stream
from ...schemas.errors import InvalidAnswer
from ...schemas.tables import LlmAnswer
from ..config import ModelsConfig, RefineConfig
from ..roles import lazy
from . import prompts

VERSION = 1
PROMPTS_A_UNIT = 32

# The request of every clip that is to be merged. Read by `refine` too.
REQUESTS = """
SELECT clip_id, caption AS original, prompt, sha256($settings || prompt) AS request FROM (
  SELECT k.clip_id, c.caption,
         replace(replace($template, '{original}', c.caption), '{facts}', facts_text) AS prompt
  FROM checks k JOIN clips c USING (clip_id) JOIN generated g USING (clip_id)
  JOIN facts f USING (clip_id),
  LATERAL (SELECT CASE WHEN g.model_id = 'tags' THEN f.file_sentence ELSE g.generated END AS facts_text)
  WHERE k.action = 'merge' AND facts_text <> ''
)
"""
_PENDING = f"""
SELECT request, any_value(prompt) AS prompt FROM ({REQUESTS})
ANTI JOIN (SELECT request FROM done) USING (request) GROUP BY request
"""  # noqa: S608 - our own text


@dataclass
class MergeJob:
    """A Job: asks what was not asked before."""

    dataset: Dataset
    config: RefineConfig
    models: ModelsConfig
    limit: int | None = None
    name: str = "merge"

    def __post_init__(self) -> None:
        """Raises ConfigError for a prompt that is not there or lacks its places."""
        self.prompt = prompts.load(self.config.prompt, ("original", "facts"))
        self._lazy = lazy(self.models, "llm")
        self.model_id, self.weights = self._lazy.identity
        self.outputs: tuple[Output, ...] = (
            output(self.dataset, LlmAnswer, VERSION, {}, (), self.model_id, self.weights),
        )

    @property
    def llm(self) -> Any:
        """The LLM, opened at first use."""
        return self._lazy.opened

    def open(self) -> None:
        _ = self.llm

    def total(self) -> int:
        with self._connected() as con:
            sql = f"SELECT count(*) FROM ({_PENDING})"  # noqa: S608 - our own text
            (n,) = one_row(con, sql, request_params(self.config, self.prompt))
        return min(n, self.limit) if self.limit is not None else int(n)

    def units(self) -> Iterator[Unit]:
        params = request_params(self.config, self.prompt)
        with self._connected() as con:
            rows = stream(con, f"{_PENDING} ORDER BY request", params)
            pending = itertools.islice(rows, self.limit)
            while unit := tuple(itertools.islice(pending, PROMPTS_A_UNIT)):
                yield Unit(unit)

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        return {LlmAnswer: [row for unit in units for row in self._ask(unit.rows)]}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {LlmAnswer: [self._row(row, error) for row in unit.rows]}

    def _ask(self, rows: Sequence[dict[str, Any]]) -> list[LlmAnswer]:
        answers = self.llm.complete(
            [row["prompt"] for row in rows], self.config.llm_max_tokens,
            self.prompt.schema, self.config.candidates,
        )  # fmt: skip
        return [self._row(row, answer) for row, answer in zip(rows, answers, strict=True)]

    def _row(self, row: dict[str, Any], answer: list[str] | Exception) -> LlmAnswer:
        about: dict[str, Any] = {
            "request": row["request"],
            "prompt": row["prompt"],
            "prompt_sha256": self.prompt.sha256,
            "model_id": self.model_id,
            "weights": self.weights,
        }
        if isinstance(answer, Exception):
            return LlmAnswer(**about, **error_columns(answer))
        read, problem = [], None
        for text in answer:
            try:
                read.append(self.prompt.read_answer(text))
            except InvalidAnswer as error:
                problem = problem or error
        if not read and problem is not None:
            return LlmAnswer(**about, **error_columns(problem), answers=answer)
        return LlmAnswer(
            **about,
            answers=answer,
            captions=list(dict.fromkeys(caption for caption, _ in read)),
            facts=read[0][1] if read else [],
        )

    def _connected(self) -> Any:
        con = connect(self.dataset)
        create_view(con, LlmAnswer, self.dataset, self.outputs[0].fingerprint, "done")
        return con


def request_params(config: RefineConfig, prompt: prompts.Prompt) -> dict[str, str]:
    """What stands for `$settings` and `$template` in REQUESTS."""
    settings = {
        "prompt": prompt.sha256, "max_tokens": config.llm_max_tokens, "n": config.candidates,
    }  # fmt: skip
    return {"settings": json.dumps(settings, sort_keys=True), "template": prompt.text}
