"""What an embedder returns, and how sounds are brought to what networks of other projects expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import EndOfAudio


@dataclass(frozen=True, eq=False)
class Embedding:
    """The embedding of one sound: rows float32 [R, D], and class logits float32 [C] or None."""

    rows: np.ndarray
    logits: np.ndarray | None


def one_row(vector: np.ndarray) -> np.ndarray:
    """A vector [D] as float32 [1, D]."""
    return np.asarray(vector, np.float32)[None]


def wave_of(sound: Sound, rate_hz: int, first_channel: bool = False) -> np.ndarray:
    """A sound as float32 [T] at `rate_hz`: the mean of its channels, or the first one less its mean.

    The latter is what audioldm_eval uses. Raises EndOfAudio for a sound without samples.
    """
    if sound.samples.shape[1] == 0:
        raise EndOfAudio(f"{sound.name or 'a sound'} holds no samples to embed")
    if not first_channel:
        return sound.mono_at(rate_hz)
    first = sound.once(
        "first channel", lambda: Sound(sound.samples[:1], sound.rate_hz, name=sound.name)
    )
    wave = first.mono_at(rate_hz)
    return np.asarray(wave - wave.mean(dtype=np.float64), np.float32)
