"""How many tokens of T5 a text has: by a tokenizer's folder, or by a careful estimate.

T5's vocabulary (32,000 pieces, SentencePiece) is not part of this project. The estimate counts a
piece for the first four letters of a word and one for every three more, one for every digit and
every mark, and the end token. On captions it lies above what the tokenizers at hand give (MiniLM's
WordPiece of 30,522, SmolLM2's BPE of 49,152: `t5_estimate_safe` in figures/captions.json), so that
a text that it lets pass is not cut. With `--t5 FOLDER` the real tokenizer counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

_PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")
FIRST, MORE = 4, 3  # letters
PREFIX = "medium quality, "  # the longest quality prefix that may stand before a caption


class Counter(Protocol):
    """Counts tokens, the end token included. name: what counted, for the table's state."""

    name: str

    def count(self, texts: Sequence[str]) -> list[int]: ...


class Estimate:
    """The estimate of the module's head."""

    name = "estimate-1"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [1 + sum(map(_pieces, _PIECE.findall(text))) for text in texts]


class Tokenizer:
    """A tokenizer in Hugging Face's layout, as of google/flan-t5-large."""

    def __init__(self, folder: Path) -> None:
        """Load it. Raises ConfigError where there is no folder, ModelError where it is empty."""
        from ...models.fetch.hf_folder import folder_digest
        from ...models.fetch.pretrained import load_tokenizer
        from ...schemas.errors import ConfigError

        if not folder.is_dir():
            raise ConfigError(f"--t5 {folder}: no such folder; expected a T5 tokenizer's")
        self.name = f"{folder.name}-{folder_digest(folder)}"
        self._tokenizer: Any = load_tokenizer(folder, role="--t5")

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]] if texts else []


def counter(folder: str | None) -> Counter:
    """The tokenizer in `folder`, or the estimate where there is none."""
    return Tokenizer(Path(folder).expanduser()) if folder else Estimate()


def _pieces(word: str) -> int:
    return 1 + max(0, -(-(len(word) - FIRST) // MORE)) if word.isalpha() else 1
