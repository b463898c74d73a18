"""Playable clips of the report: a few seconds of mono MP3 in a data URI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...audio.decode import decode_window
from ...reports.playable import mp3_uri
from ...schemas.errors import AudioError, FileChanged

LONGEST_S = 10.0


def data_uri(clip: dict[str, Any]) -> str:
    """`data:audio/mpeg;base64,...` of a clip's first 10 s.

    clip: path, start_s, duration_s, and size_bytes and mtime_ns as ingest saw them. Raises
    AudioError when the audio cannot be read, FileChanged when it is not the audio that was scored.
    """
    path = Path(clip["path"])
    try:
        about = path.stat()
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
    if (about.st_size, about.st_mtime_ns) != (clip["size_bytes"], clip["mtime_ns"]):
        raise FileChanged(f"{path}: the file has changed since it was ingested")
    sound = decode_window(path, clip["start_s"], min(clip["duration_s"], LONGEST_S))
    return mp3_uri(sound)
