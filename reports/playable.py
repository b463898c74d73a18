"""What a page can play and show without another file: sounds and pictures in data URIs."""

from __future__ import annotations

import base64

from ..audio.encode import encode
from ..audio.sound import Sound

MP3_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
COMPRESSION = 0.3  # libsndfile's 0..1: 0 is the largest file, 1 the smallest


def mp3_uri(sound: Sound) -> str:
    """`data:audio/mpeg;base64,...` of all of a sound, mono, at its rate or 44.1 kHz."""
    rate_hz = sound.rate_hz if sound.rate_hz in MP3_RATES_HZ else 44_100
    mono = sound.mono_at(rate_hz)
    return data_uri(
        "audio/mpeg", encode(mono, rate_hz, format="MP3", compression_level=COMPRESSION)
    )


def data_uri(media_type: str, content: bytes) -> str:
    """`data:<media type>;base64,...`."""
    return f"data:{media_type};base64," + base64.b64encode(content).decode("ascii")
