"""Text states: unique text -> the states [S, E] of its S real tokens, read from the dataset folder.

Every prompt is stored once, however many clips share it. The empty text is stored too: it is what
text dropout trains on and guidance subtracts. States are of the whole prompt, quality prefix
included; the limit of tokens is applied to that, so a long caption loses its end, never the prefix.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from ...pipeline.dataset import Dataset
from ...pipeline.views import open_duckdb
from ...schemas.errors import StoreError
from .latent_store import Shards

CACHED = 128  # texts kept in memory: a few are shared by many clips
NULL_TEXT = ""
_TEXTS = """
SELECT text, filename, file_row_number, tokens, width, encoder
FROM placed ORDER BY text
"""


@dataclass
class StoredText:
    """The text states of one dataset folder. Can be sent to worker processes."""

    places: dict[str, tuple[int, int, int]]  # text -> part, row, tokens
    shards: Shards
    width: int
    encoder: str
    max_tokens: int
    _cache: OrderedDict[str, torch.Tensor] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def open(cls, dataset: Dataset, max_tokens: int, reading: str = "mmap") -> StoredText:
        """The current state of `text_states`. Raises StoreError."""
        state = dataset.current("text_states")
        parts = dataset.parts("text_states", state.fingerprint) if state else []
        if not parts:
            raise StoreError(
                f"{dataset.root} holds no text states; make the states of its prompts first"
            )
        names = [str(p) for p in parts]
        with open_duckdb(dataset) as con:
            con.read_parquet(names, filename=True, file_row_number=True).create_view("placed")
            rows = con.sql(_TEXTS).fetchall()
        kinds = {(row[4], row[5]) for row in rows}
        if len(kinds) != 1:
            raise StoreError(f"{dataset.root}: text states of more than one encoder: {kinds}")
        number = {name: k for k, name in enumerate(names)}
        places = {row[0]: (number[row[1]], row[2], row[3]) for row in rows}
        if NULL_TEXT not in places:
            raise StoreError(
                f"{dataset.root}: the empty text has no states; it is needed for text dropout and "
                "guidance: encode it with the prompts"
            )
        ((width, encoder),) = kinds
        shards = Shards(parts, ("text", "states"), reading)
        return cls(places, shards, width, encoder, max_tokens)

    def __contains__(self, text: str) -> bool:
        return text in self.places

    def tokens(self, text: str) -> int:
        """The true length of a text, before the limit."""
        return self.places[text][2]

    def states(self, text: str) -> torch.Tensor:
        """float32 [S, E], S <= max_tokens. Raises StoreError for a text that is not stored."""
        if text in self._cache:
            self._cache.move_to_end(text)
            return self._cache[text]
        if text not in self.places:
            raise StoreError(
                f"text {text!r} has no stored states ({self.encoder}); stored are, for example, "
                f"{[t for t in list(self.places)[:4] if t]}"
            )
        part, row, tokens = self.places[text]
        stored = self.shards.read(part, row)
        if stored["text"] != text:
            raise StoreError(f"text {text!r}: its place holds {stored['text']!r}; start again")
        half = np.frombuffer(stored["states"], np.float16).astype(np.float32)
        states = torch.from_numpy(half).view(tokens, self.width)[: self.max_tokens].clone()
        self._cache[text] = states
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return states


def padded(states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of different lengths as one batch: states [B, S, E] and mask [B, S], true = real."""
    longest = max(len(s) for s in states)
    batch = torch.stack([F.pad(s, (0, 0, 0, longest - len(s))) for s in states])
    lengths = torch.tensor([len(s) for s in states])
    return batch, torch.arange(longest)[None, :] < lengths[:, None]
