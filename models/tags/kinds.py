"""The kinds of taggers, by name: `embedded`, the two networks of musicnn (`tagger.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ref import Kind, require_no_path


def _open_embedded(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .tagger import MusicnnTagger

    require_no_path("embedded", where)
    return MusicnnTagger(cache, device)


TAGGERS: dict[str, Kind] = {
    "embedded": Kind(_open_embedded, "embedded", "musicnn, 92 words of two published networks"),
}
