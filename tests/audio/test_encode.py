"""audio/encode.py: what is encoded decodes to the same sound, and the bytes are those of one write."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from builders import music

from qamdt.audio.encode import encode

RATE = 16_000


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_lossless_formats_give_every_step_back(kind: str, channels: int) -> None:
    samples = music(2.3, RATE, channels)
    raw = encode(samples, RATE, format=kind, subtype="PCM_16")
    steps, rate_hz = soundfile.read(io.BytesIO(raw), dtype="int16", always_2d=True)
    assert rate_hz == RATE and steps.shape == samples.T.shape
    assert np.abs(steps.T - samples * 32768).max() <= 1


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "FLAC", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "MP3", "compression_level": 0.3},
    ],
)
@pytest.mark.parametrize("frames", [0, 1, RATE, 3 * RATE + 7])
def test_the_bytes_are_those_of_a_single_write(settings: dict[str, Any], frames: int) -> None:
    samples = np.resize(music(1.7, RATE, 2), (2, frames)).astype(np.float32)
    single = io.BytesIO()
    soundfile.write(single, samples.T, RATE, **settings)
    assert encode(samples, RATE, **settings) == single.getvalue()
    assert encode(samples[0], RATE, **settings) == encode(samples[:1], RATE, **settings)


def test_a_long_sound_as_vorbis() -> None:
    """One write of a minute overflows the encoder's stack."""
    samples = np.tile(music(4.0, 44_100, 2), 15)
    raw = encode(samples, 44_100, format="OGG", subtype="VORBIS", compression_level=0.8)
    assert soundfile.info(io.BytesIO(raw)).duration == pytest.approx(60, abs=0.1)


def test_a_rate_that_a_format_lacks_is_an_error() -> None:
    with pytest.raises(soundfile.LibsndfileError):
        encode(np.zeros((1, 100), np.float32), 96_000, format="MP3")
