"""Text encoders: a prompt as the states of its tokens, for the network's cross-attention.

`embedded` is MiniLM (models/clap/sentence_embedder.py, 384 wide); `t5@WHERE` the encoder of T5 or
Flan-T5 (1024 wide for flan-t5-large, the paper's); `clap@WHERE` the text side of CLAP (768
wide). WHERE is a folder in Hugging Face's layout or a hub name.

States have the true length of their text: texts are batched by equal length, so nothing is padded
and a text's states do not depend on its batch-mates (to 1e-5). A text is cut to `max_tokens` before
it is encoded, its end token kept; it is the whole prompt, so the quality prefix counts. The empty text
is a text like others: it has at least its end token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...models.clap.sentence_embedder import SentenceEmbedder, of_equal_length
from ...models.fetch import registry
from ...models.fetch.hf_folder import LEAST_VOCABULARY, find_folder, folder_digest
from ...models.fetch.pretrained import load_pretrained, load_tokenizer
from ...models.ref import require_no_path, require_path
from ...schemas.errors import ModelError

MAX_TOKENS = 128
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")  # of a hub name


class TextEncoder(Protocol):
    """Encodes prompts."""

    model_id: str
    digest: str

    @property
    def width(self) -> int:
        """Length of a state."""
        ...

    def load(self) -> None:
        """Make ready, so that a damaged checkpoint is found before the work begins."""

    def states(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
        """float32 [S, width] for each text, in order, S its true length, 1..max_tokens."""
        ...


def name_of(encoder: TextEncoder) -> str:
    """The encoder as it stands in rows: model and digest of its weights."""
    return f"{encoder.model_id} {encoder.digest}"


class MiniLmText:
    """all-MiniLM-L6-v2's token states: what works with no network at all."""

    model_id = "minilm-l6-v2"
    width = SentenceEmbedder.dim

    def __init__(
        self, where: str | None = None, device: str = "cpu", cache: Path | None = None
    ) -> None:
        """Raises WeightsMissing when it was not fetched."""
        require_no_path("embedded", where or "")
        registry.path("minilm-l6-v2", cache)
        self.digest = registry.entry("minilm-l6-v2").digest[:16]
        self._cache = cache

    @cached_property
    def _model(self) -> SentenceEmbedder:
        return SentenceEmbedder(self._cache)

    def load(self) -> None:
        _ = self._model

    def states(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
        return self._model.states(texts, max_tokens)


class HfText:
    """A text encoder of transformers. Its files are looked for at once, loaded at first use."""

    kind = ""

    def __init__(
        self, where: str, device: str = "cpu", least_vocabulary: int = LEAST_VOCABULARY
    ) -> None:
        """Raises WeightsMissing where there is no such model."""
        require_path(self.kind, where, "FOLDER")
        self._folder = find_folder(
            f"text encoder {self.kind}", where, ["config.json"], WANTED,
            "a folder made by `save_pretrained` of model and tokenizer, or a hub name like "
            "google/flan-t5-large",
        )  # fmt: skip
        self._device, self._least = device, least_vocabulary
        self.model_id = f"{self.kind}:{where.rstrip('/').rsplit('/', 1)[-1]}"
        self.digest = folder_digest(self._folder)

    def _network(self) -> Any:
        """The encoder: called with input_ids, it gives `last_hidden_state`."""
        raise NotImplementedError

    @cached_property
    def _model(self) -> Any:
        return self._network().to(self._device).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        role = f"text encoder {self.kind}"
        return load_tokenizer(self._folder, role=role, least=self._least)

    @property
    def width(self) -> int:
        return int(self._model.config.hidden_size)

    def load(self) -> None:
        _ = self._tokenizer, self._model

    def states(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
        import torch

        if not texts:
            return []
        ids = self._tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
        if any(not tokens for tokens in ids):
            raise ModelError(
                f"{self._folder}: the tokenizer gives a text no token at all; expected at least an "
                "end token"
            )
        out: list[np.ndarray] = [np.zeros((0, 0), np.float32)] * len(texts)
        for rows, some in of_equal_length(ids):
            given = torch.tensor(some, device=self._device)
            with torch.inference_mode():
                states = self._model(input_ids=given).last_hidden_state.float().cpu().numpy()
            for row, own in zip(rows, states, strict=True):
                out[row] = own
        return out


class T5Text(HfText):
    """The encoder of T5 or Flan-T5 (QA-MDT: google/flan-t5-large, at most 128 tokens)."""

    kind = "t5"

    def _network(self) -> Any:
        import torch
        from transformers import T5EncoderModel

        return load_pretrained(
            T5EncoderModel, self._folder, role="text encoder t5",
            allow_extra=("decoder.*", "lm_head.*"), dtype=torch.float32,
        )  # fmt: skip


class ClapText(HfText):
    """The token states of CLAP's text side, before its projection; at most 77 to 512 tokens."""

    kind = "clap"

    def _network(self) -> Any:
        import torch
        from transformers import ClapTextModelWithProjection

        return load_pretrained(
            ClapTextModelWithProjection, self._folder, role="text encoder clap",
            allow_extra=("audio_*", "logit_scale*"), dtype=torch.float32,
        ).text_model  # fmt: skip
