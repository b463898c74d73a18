"""What an audio-text model is: sounds and texts in one space, the cosine says how well they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ...audio.sound import Sound


class MatchModel(Protocol):
    """Hears sounds and reads texts, into one space."""

    model_id: str
    digest: str
    dim: int

    def load(self) -> None:
        """Make the sound side ready."""

    def embed_audio(self, sounds: Sequence[Sound]) -> np.ndarray:
        """float32 [n, dim], in order, rows of length 1; NaN for a sound that holds NaN."""
        ...

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dim], in order, rows of length 1; a blank text is all zeros.

        So the cosine with a blank text is 0: it says nothing, neither right nor wrong.
        """
        ...
