"""Sounds as bytes: any format that libsndfile writes, in memory.

The inverse of `decode.py`, and the one place that encodes. What exceeds full scale is clipped by
integer formats. The bytes follow from the samples, but for Ogg's random stream number.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def encode(samples: np.ndarray, rate_hz: int, **settings: Any) -> bytes:
    """A sound file of float [channels, frames] or [frames], nominally -1..1.

    settings: `format` (WAV, FLAC, OGG, MP3) and, of soundfile, `subtype`, `compression_level` and
    `bitrate_mode`. Raises soundfile.LibsndfileError for a rate, a number of channels or a subtype
    that the format does not have.
    """
    import soundfile

    samples = np.atleast_2d(samples)
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", rate_hz, samples.shape[0], **settings) as file:
        for start in range(0, samples.shape[1], rate_hz):  # Vorbis overflows on one long write
            file.write(samples[:, start : start + rate_hz].T)
    return memory.getvalue()
