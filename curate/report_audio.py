"""Playable clips of the report: a few seconds of mono MP3 in a data URI."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from ..audio.decode import decode_window
from ..schemas.errors import AudioError, FileChanged

LONGEST_S = 10.0
MP3_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
COMPRESSION = 0.3  # libsndfile's 0..1: 0 is the largest file, 1 the smallest


def data_uri(clip: dict[str, Any]) -> str:
    """`data:audio/mpeg;base64,...` of a clip's first 10 s.

    clip: path, start_s, duration_s, and size_bytes and mtime_ns as ingest saw them. Raises
    AudioError when the audio cannot be read, FileChanged when it is not the audio that was scored.
    """
    import soundfile

    path = Path(clip["path"])
    try:
        about = path.stat()
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
    if (about.st_size, about.st_mtime_ns) != (clip["size_bytes"], clip["mtime_ns"]):
        raise FileChanged(f"{path}: the file has changed since it was ingested")
    sound = decode_window(path, clip["start_s"], min(clip["duration_s"], LONGEST_S))
    rate_hz = sound.rate_hz if sound.rate_hz in MP3_RATES_HZ else 44_100
    coded = io.BytesIO()
    soundfile.write(
        coded, sound.mono_at(rate_hz), rate_hz, format="MP3", compression_level=COMPRESSION
    )
    return "data:audio/mpeg;base64," + base64.b64encode(coded.getvalue()).decode("ascii")
