"""The middles of audio files: a stretch of each, for measuring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...audio.decode import decode_window
from ...audio.mel import RATE_HZ
from ...audio.probe import probe
from ...schemas.errors import AudioError, ConfigError

ENDINGS = {".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aac", ".aiff", ".aif"}


def middles(source: Path, seconds: float, limit: int) -> Iterator[tuple[str, np.ndarray]]:
    """(path, mono wave at 16 kHz) of up to `limit` files, `seconds` from the middle of each.

    Files shorter than that, or that cannot be read, are passed over. Raises ConfigError for a place
    that does not exist.
    """
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder")
    every = sorted(source.rglob("*")) if source.is_dir() else [source]
    paths = [p for p in every if p.suffix.lower() in ENDINGS]
    count = 0
    for path in paths:
        if count == limit:
            return
        try:
            length = probe(path).duration_s or 0.0
            if length < seconds:
                continue
            wave = decode_window(path, (length - seconds) / 2, seconds).mono_at(RATE_HZ)
        except AudioError:
            continue
        count += 1
        yield str(path), wave
