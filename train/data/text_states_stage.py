"""Text states of a set's prompts: the job that encodes each unique prompt once, for ever.

The table's state depends on the encoder and the limit of tokens alone: new captions or levels add
texts, and nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from ...models.ref import pick_device
from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, Unit, output
from ...pipeline.views import connect
from ...schemas.prompt import prompt_of
from ...schemas.tables import TextStates
from ..audio_config import AudioConfig, LatentsConfig, ModelsConfig
from ..check import open_model
from ..codec.text_encoders import TextEncoder, name_of
from .latent_store import text_row
from .text_states import NULL_TEXT

VERSION = 1
TEXTS_A_UNIT = 64
_PAIRS = """
SELECT DISTINCT v.quality_prefix, coalesce(t.refined_caption, c.caption)
FROM clips c
LEFT JOIN decisions d ON d.clip_id = c.clip_id
LEFT JOIN levels v ON v.clip_id = c.clip_id AND v.status = 'ok'
LEFT JOIN captions t ON t.clip_id = c.clip_id AND t.status = 'ok'
WHERE d.kept OR NOT $kept_only
"""


@dataclass
class TextJob:
    """A Job: the token states of every prompt of the set that has none yet, and of the empty text."""

    dataset: Dataset
    models: ModelsConfig
    config: LatentsConfig
    outputs: tuple[Output, ...]
    name: str = "text"
    _encoder: TextEncoder | None = field(default=None, repr=False)

    def total(self) -> int:
        return len(self._pending())

    def units(self) -> Iterator[Unit]:
        texts = self._pending()
        for at in range(0, len(texts), TEXTS_A_UNIT):
            yield Unit(tuple({"text": text} for text in texts[at : at + TEXTS_A_UNIT]))

    def open(self) -> None:
        self._encoder = open_text(self.models)
        self._encoder.load()

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        if self._encoder is None:
            raise RuntimeError("a job is opened before it runs")
        encoder, rows = name_of(self._encoder), []
        for unit in units:
            texts = [row["text"] for row in unit.rows]
            for text, states in zip(
                texts, self._encoder.states(texts, self.config.max_tokens), strict=True
            ):
                rows.append(text_row(text, states, encoder))
        return {TextStates: rows}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        """A text without states is no row: it stops the run."""
        raise error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_encoder": None}

    def _pending(self) -> list[str]:
        (out,) = self.outputs
        done: set[str] = set()
        for part in self.dataset.parts(out.table, out.fingerprint):
            done.update(pq.read_table(part, columns=["text"])["text"].to_pylist())
        return sorted(prompts_of(self.dataset, self.config) - done)


def prompts_of(dataset: Dataset, config: LatentsConfig) -> set[str]:
    """The prompts of the set's clips (kept ones, where the settings say so), and the empty text."""
    with connect(dataset) as con:
        pairs = con.execute(_PAIRS, {"kept_only": config.kept_only}).fetchall()
    prefixed = config.quality_prefix
    made = {prompt_of(prefix if prefixed else None, caption) or "" for prefix, caption in pairs}
    return made | {NULL_TEXT}


def open_text(models: ModelsConfig) -> TextEncoder:
    return open_model(models, "text_encoder", device=pick_device(models.device))


def text_job(dataset: Dataset, config: AudioConfig) -> TextJob:
    """The job that encodes prompts. Its state depends on the encoder alone: texts are kept for ever."""
    encoder = open_model(config.models, "text_encoder")
    params = {"max_tokens": config.latents.max_tokens}
    out = output(dataset, TextStates, VERSION, params, [], encoder.model_id, encoder.digest)
    return TextJob(dataset, config.models, config.latents, (out,))
