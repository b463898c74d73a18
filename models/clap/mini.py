"""clap-mini: sounds and captions of music in one space, trained for this project. No CLAP, but small.

A vector has two parts, each of length 1 before it gets its share: what `tagtext-mini` makes of the
sound or text (genre, from networks that know real music), and what `mini_network.ClapNet` makes of it
(instruments, tempo, key, drums, tone, from rendered pieces and a little real music). Card:
weights/clap-mini.md; made by `recipes/clap/train.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import ModelError
from ..fetch import registry
from ..fetch.pretrained import load_safetensors
from .mini_features import RATE_HZ, SoundMeasurements, measure
from .mini_words import pieces, read
from .tagtext import TagTextMatch
from .vectors import unit_rows

if TYPE_CHECKING:
    from .mini_network import ClapNet

NAME = "clap-mini"


class ClapMiniMatch:
    """The embedded audio-text model. A sound costs the tagger's pass over it and .03 s more."""

    model_id = "clap-mini-1"

    def __init__(
        self, cache: Path | None = None, device: str = "cpu", weights: Path | None = None
    ) -> None:
        """Find the weights; networks are loaded at first use. Raises WeightsMissing.

        weights: a file of `train_clap.py` other than the shipped one. device: of musicnn; the rest
        is small and stays on the CPU.
        """
        self._weights = weights or registry.path(NAME)
        self._words = TagTextMatch(cache, device)
        settings = _settings(self._weights)
        self._share = float(settings["words_share"])
        self.words_dim = self._words.dim  # of the vector, the part that tagtext-mini makes
        self.dim = self.words_dim + int(settings["dim"])
        own = registry.entry(NAME).digest if weights is None else str(weights)
        self.digest = hashlib.sha256(f"{own}/{self._words.digest}".encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load the sound side; MiniLM waits for the first text."""
        self._words.load()
        _ = self._net

    @cached_property
    def _net(self) -> ClapNet:
        return load_net(self._weights)

    def embed_audio(self, sounds: Sequence[Sound]) -> np.ndarray:
        """float32 [n, dim], rows of length 1; NaN for a sound that holds NaN."""
        rows = [self._one(sound) for sound in sounds]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)

    def _one(self, sound: Sound) -> np.ndarray:
        (tags,) = self._words.extract([sound])
        if not np.isfinite(sound.mono_at(RATE_HZ)).all():
            return np.full(self.dim, np.nan, np.float32)
        found = sound.once("clap_front", lambda: measure(sound))
        return self.from_features(tags.logits[None], tags.penultimate[None], [found])[0]

    def from_features(
        self, logits: np.ndarray, hidden: np.ndarray, found: Sequence[SoundMeasurements]
    ) -> np.ndarray:
        """Vectors of sounds of which musicnn's [n, 100] and [n, 400] and `clap_front` are known."""
        import torch

        with torch.inference_mode():
            tagger_features = torch.from_numpy(
                np.concatenate([logits, hidden], 1).astype(np.float32)
            )
            plain = torch.from_numpy(np.stack([m.plain() for m in found]))
            pitch = torch.from_numpy(np.stack([m.pitch for m in found]))
            own = self._net.sounds(self._net.audio(tagger_features, plain, pitch)).numpy()
        return self._together(self._words.z_scores(logits), own)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dim], rows of length 1; a blank text is all zeros."""
        import torch

        out = np.zeros((len(texts), self.dim), np.float32)
        said = [i for i, text in enumerate(texts) if text.strip()]
        if said:
            chosen = [texts[i] for i in said]
            with torch.inference_mode():
                parts = map(torch.from_numpy, (*self._pieces(chosen), read(chosen)))
                own = self._net.texts(*parts).numpy()
            out[said] = self._together(self._words.embed_text(chosen), own)
        return out

    def _pieces(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(embeddings [N, 384] of the pieces of all texts, whose each is [N])."""
        each = [pieces(text) for text in texts]
        different = sorted({piece for of_one in each for piece in of_one})
        place = {piece: i for i, piece in enumerate(different)}
        vectors = self._words.sentences.embed(different)
        owner = np.repeat(np.arange(len(texts)), [len(of_one) for of_one in each])
        return vectors[[place[piece] for of_one in each for piece in of_one]], owner

    def _together(self, words: np.ndarray, own: np.ndarray) -> np.ndarray:
        return unit_rows(np.concatenate([self._share * words, (1 - self._share) * own], 1))


def load_net(weights: Path) -> ClapNet:
    """The network in a file of `train_clap.py`, at rest. Raises ModelError when it is none."""
    from .mini_network import ClapNet, Sizes

    try:
        net = ClapNet(Sizes(**json.loads(_settings(weights)["sizes"])))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{weights} does not fit clap-mini: {error}") from error
    load_safetensors(net, weights, role="clap-mini")
    return net.eval()


def _settings(weights: Path) -> dict[str, str]:
    """The metadata of a weights file. Raises ModelError when it is not one of clap-mini."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "np") as file:
            found: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{weights} cannot be read as safetensors: {error}") from error
    if not {"sizes", "dim", "words_share"} <= found.keys():
        raise ModelError(f"{weights} holds no clap-mini: its metadata lack sizes and shares")
    return found
