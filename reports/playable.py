"""Sounds that a page can play: a few seconds of mono MP3 in a data URI."""

from __future__ import annotations

import base64
import io

from ..audio.sound import Sound

MP3_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
COMPRESSION = 0.3  # libsndfile's 0..1: 0 is the largest file, 1 the smallest


def mp3_uri(sound: Sound) -> str:
    """`data:audio/mpeg;base64,...` of all of a sound, mono, at its rate or 44.1 kHz."""
    import soundfile

    rate_hz = sound.rate_hz if sound.rate_hz in MP3_RATES_HZ else 44_100
    coded = io.BytesIO()
    soundfile.write(
        coded, sound.mono_at(rate_hz), rate_hz, format="MP3", compression_level=COMPRESSION
    )
    return "data:audio/mpeg;base64," + base64.b64encode(coded.getvalue()).decode("ascii")
