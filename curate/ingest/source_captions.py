"""What came with the audio: caption, tags, source and licence, and where the caption is from.

In this order: the manifest; `song.txt` beside `song.mp3`; `song.json` beside it; the file's own tags
(title, artist, genre, comment), which make a weak caption such as
`genre: Death Metal; title: Autumn; artist: Muldjord`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...audio.probe import AudioInfo
from ...audio.sources import Entry, tag_list
from ...schemas.errors import UnreadableAudio

WEAK = "file tags"
_FILE_TAGS = ("genre", "title", "artist", "comment")


@dataclass(frozen=True)
class SourceCaptions:
    """The caption columns of a clip."""

    caption: str | None
    caption_source: str | None
    tags: list[str] | None
    source: str | None
    licence: str | None


def source_captions_of(request: Entry, info: AudioInfo) -> SourceCaptions:
    """What is stated of a file, the strongest source of each column first.

    Raises UnreadableAudio when a sidecar is there and cannot be read.
    """
    path = Path(request.path)
    side = _sidecar_json(path.with_suffix(".json"))
    candidates = [
        ("manifest", request.caption),
        ("sidecar .txt", _sidecar_txt(path.with_suffix(".txt"))),
        ("sidecar .json", side.get("caption")),
        (WEAK, weak_caption(info.tags)),
    ]
    # An empty caption in a manifest is a fact about the data, not an invitation to use the tags.
    origin, caption = next(((o, c) for o, c in candidates if c is not None), (None, None))
    return SourceCaptions(
        caption,
        origin,
        request.tags or tag_list(side.get("tags")),
        request.source or side.get("source"),
        request.licence or side.get("licence") or info.tags.get("licence"),
    )


def weak_caption(tags: Mapping[str, str]) -> str | None:
    """A caption made of the file's own tags, or None where it has none of use."""
    parts = [f"{name}: {tags[name].strip()}" for name in _FILE_TAGS if tags.get(name, "").strip()]
    return "; ".join(parts) or None


def _sidecar_txt(path: Path) -> str | None:
    text = _read(path)
    return text.strip() if text is not None else None


def _sidecar_json(path: Path) -> dict[str, Any]:
    text = _read(path)
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UnreadableAudio(f"{path}: sidecar is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableAudio(f'{path}: expected an object like {{"caption": ...}}')
    wrong = [k for k in ("caption", "source", "licence") if not isinstance(content.get(k, ""), str)]
    if wrong:
        raise UnreadableAudio(f"{path}: {wrong[0]} is no text")
    return content


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableAudio(f"{path}: sidecar cannot be read: {error}") from error
