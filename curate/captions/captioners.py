"""Captioners: where the generated caption of a clip comes from.

    tags                    the facts of the table `facts`, as a fixed sentence: no model
    column@NAME             captions that come with the data, in another column of the manifest
    vllm-audio@MODEL        an audio chat model in this process (models/llm/audio_captioner.py)
    openai-audio@URL#MODEL  one behind a server

The first two read tables; the others hear the clip, and are listeners that share its decode. A clip
of which a captioner says nothing has an empty generated caption, which a guard then refuses.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...audio.sound import Sound
from ...audio.sources import entries
from ...models.lazy import LazyModel
from ...models.ref import ModelRef, require_no_path, require_path
from ...pipeline.audio_pass import Answer, ListenJob
from ...pipeline.dataset import Dataset
from ...pipeline.file_blocks import BlockJob, by_file
from ...pipeline.job import Job, Unit, output
from ...pipeline.views import connect
from ...schemas.errors import ConfigError
from ...schemas.plugins import kinds
from ...schemas.tables import Generated
from ..config import CaptionConfig, ModelsConfig
from ..roles import kinds_of
from . import prompts
from .facts import describe
from .facts_job import facts_from_row

VERSION = 1


class TagsJob(BlockJob):
    """A Job: `generated` from `facts`, by fixed words; of the file where the clip has no facts."""

    PLAN = """
    SELECT f.* EXCLUDE (status, error_type, error_message), c.path, c.window_index,
           CASE WHEN f.status = 'error' THEN f.error_type || ': ' || f.error_message END AS problem
    FROM clips c JOIN facts f USING (clip_id) WHERE c.skip IS NULL
    """

    def __init__(self, dataset: Dataset, limit: int | None) -> None:
        out = output(dataset, Generated, VERSION, {}, ("clips", "facts"), "tags")
        super().__init__(dataset, (out,), "caption", limit)

    def rows(self, unit: Unit) -> list[Generated]:
        return [
            Generated(
                clip_id=row["clip_id"],
                model_id="tags",
                generated=describe(facts_from_row(row)) or row["file_sentence"],
            )
            for _, pending in by_file(unit)
            for row in pending
        ]


class ColumnJob(BlockJob):
    """A Job: `generated` from a column of the manifests that were ingested.

    A manifest is read again, and its bytes are part of the state: a changed one is another state.
    """

    PLAN = """
    SELECT c.clip_id, c.path, c.window_index, c.start_s, NULL AS problem
    FROM clips c WHERE c.skip IS NULL
    """

    def __init__(self, dataset: Dataset, column: str, limit: int | None) -> None:
        """Raises ConfigError where no manifest was ingested, or none has the column."""
        self.column = column
        self.texts, digest = _column(dataset, column)
        self.model_id = f"column:{column}"
        params = {"manifests_sha256": digest}
        out = output(dataset, Generated, VERSION, params, ("clips",), self.model_id)
        super().__init__(dataset, (out,), "caption", limit)

    def rows(self, unit: Unit) -> list[Generated]:
        return [
            Generated(
                clip_id=row["clip_id"],
                model_id=self.model_id,
                generated=self.texts.get((row["path"], row["start_s"]))
                or self.texts.get((row["path"], None))
                or "",
            )
            for _, pending in by_file(unit)
            for row in pending
        ]


class AudioCaptioner:
    """A listener: `generated` from an audio chat model. The sounds of a batch go together."""

    writes: type = Generated
    version: int = VERSION

    def __init__(self, ref: str, config: CaptionConfig, device: str = "cpu") -> None:
        """Raises ConfigError for a prompt that is not there."""
        self._max_tokens = config.listen_max_tokens
        self._lazy = LazyModel(ref, partial(kinds_of, "captioner"), device)
        self.prompt = prompts.load(config.listen_prompt)

    @property
    def model(self) -> Any:
        """The model, opened at first use."""
        return self._lazy.opened

    @property
    def model_id(self) -> str:
        return self._lazy.identity[0]

    @property
    def weights(self) -> str:
        return self._lazy.identity[1]

    def open(self) -> None:
        """The engine starts at the first sound."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        texts = self.model.caption(sounds, self.prompt.text, self._max_tokens)
        return [text if isinstance(text, Exception) else self._columns(text) for text in texts]

    def _columns(self, text: str) -> Mapping[str, Any]:
        return {"generated": " ".join(text.split()), "prompt_sha256": self.prompt.sha256}


def caption_job(
    dataset: Dataset, config: CaptionConfig, models: ModelsConfig, limit: int | None
) -> Job:
    """The job that makes `generated` with the captioner that the settings name."""
    jobs = {**dict.fromkeys(kinds("captioner", {}), _listening), **KINDS}
    ref = ModelRef.parse(models.captioner, jobs)
    return jobs[ref.kind](dataset, ref, config, models, limit)


def _tags(dataset: Dataset, ref: ModelRef, *rest: Any) -> Job:
    require_no_path("tags", ref.where)
    return TagsJob(dataset, rest[-1])


def _from_column(dataset: Dataset, ref: ModelRef, *rest: Any) -> Job:
    return ColumnJob(dataset, require_path("column", ref.where, "NAME"), rest[-1])


def _listening(
    dataset: Dataset,
    ref: ModelRef,
    config: CaptionConfig,
    models: ModelsConfig,
    limit: int | None,
) -> Job:
    listener = AudioCaptioner(str(ref), config, models.device)
    params = {"prompt_sha256": listener.prompt.sha256, "max_tokens": config.listen_max_tokens}
    out = output(
        dataset, Generated, VERSION, params, ("clips",), listener.model_id, listener.weights
    )
    return ListenJob(dataset, (listener,), (out,), limit, "caption")


KINDS: dict[str, Callable[..., Job]] = {
    "tags": _tags,
    "column": _from_column,
    "vllm-audio": _listening,
    "openai-audio": _listening,
}


def _column(dataset: Dataset, column: str) -> tuple[dict[tuple[str, float | None], str], str]:
    """((path, start or None) -> text of a column, hash of the manifests). Raises ConfigError."""
    with connect(dataset) as con:
        roots = [Path(r) for (r,) in con.execute("SELECT DISTINCT root FROM files").fetchall()]
    manifests = sorted(root for root in roots if root.is_file())
    if not manifests:
        raise ConfigError(
            f"captioner column@{column}: {dataset.root} was not ingested from a manifest that is "
            "still there; give `--captioner tags`, or ingest the manifest again"
        )
    texts: dict[tuple[str, float | None], str] = {}
    digest = hashlib.sha256()
    for manifest in manifests:
        digest.update(manifest.read_bytes())
        for entry in entries(manifest, Counter(), extra=column):
            if entry.extra:
                texts.setdefault((entry.path, entry.start_s), entry.extra)
    if not texts:
        names = ", ".join(map(str, manifests))
        raise ConfigError(f"captioner column@{column}: no row of {names} has a text there")
    return texts, digest.hexdigest()
