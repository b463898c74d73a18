"""The table `texts`: each different text once, with its embedding, its guards and its length.

A cache that outlives parameters: its state depends on the audio-text model and on what counts
tokens alone. New captions, new answers and new thresholds add texts, and none is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, Unit, output
from ...pipeline.views import connect, create_view, one_row, stream
from ...schemas.tables import Text
from ..config import ModelsConfig, RefineConfig
from ..guards import rules
from ..guards.tokens import Counter, counter
from ..roles import lazy

VERSION = 1
TEXTS_A_UNIT = 64

# What a caption may come to be. Of answers, those of the LLM that is asked now.
_WANTED = """
WITH all_texts AS (
  SELECT caption AS text FROM clips WHERE skip IS NULL
  UNION SELECT generated FROM generated
  UNION SELECT unnest(captions) FROM answers
)
SELECT text FROM all_texts ANTI JOIN done USING (text) WHERE text <> ''
"""


def texts_output(dataset: Dataset, config: RefineConfig, models: ModelsConfig) -> Output:
    """The state of `texts` that belongs to these settings."""
    params = {"guards": rules.VERSION, "tokens": counter(config.t5).name}
    return output(dataset, Text, VERSION, params, (), *lazy(models, "match").identity)


@dataclass
class TextsJob:
    """A Job: reads every text that has no row yet."""

    dataset: Dataset
    config: RefineConfig
    models: ModelsConfig
    name: str = "texts"

    def __post_init__(self) -> None:
        self.outputs: tuple[Output, ...] = (texts_output(self.dataset, self.config, self.models),)
        self._lazy = lazy(self.models, "match")

    @property
    def match(self) -> Any:
        """The audio-text model, opened at first use."""
        return self._lazy.opened

    @cached_property
    def counter(self) -> Counter:
        return counter(self.config.t5)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "counter"}

    def open(self) -> None:
        _ = self.match, self.counter

    def total(self) -> int:
        with self._connected() as con:
            (n,) = one_row(con, f"SELECT count(*) FROM ({_WANTED})")  # noqa: S608
        return int(n)

    def units(self) -> Iterator[Unit]:
        with self._connected() as con:
            rows: list[dict[str, Any]] = []
            for row in stream(con, f"{_WANTED} ORDER BY text"):
                rows.append(row)
                if len(rows) == TEXTS_A_UNIT:
                    yield Unit(tuple(rows))
                    rows = []
        if rows:
            yield Unit(tuple(rows))

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        return {Text: [row for unit in units for row in self._read([r["text"] for r in unit.rows])]}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        """A text without its numbers is no row: it stops the run."""
        raise error

    def _read(self, texts: list[str]) -> list[Text]:
        # One by one: in a batch a vector differs in its last bits, and batches are what is pending.
        vectors = [self.match.embed_text([text])[0] for text in texts]
        return [
            Text(
                text=text,
                embedding=[float(x) for x in vector],
                guards=rules.text_guards(text),
                words=len(text.split()),
                tokens=tokens,
            )
            for text, vector, tokens in zip(texts, vectors, self.counter.count(texts), strict=True)
        ]

    def _connected(self) -> Any:
        con = connect(self.dataset)
        create_view(con, Text, self.dataset, self.outputs[0].fingerprint, "done")
        return con
