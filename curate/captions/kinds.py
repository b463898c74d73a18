"""The kinds of captioners, by name: two that read tables, and the audio chat models.

`tags` and `column@NAME` need no model and open as None; their jobs are in `captioners.py`.
"""

from __future__ import annotations

from typing import Any

from ...models.llm.kinds import CAPTIONERS as LISTENING
from ...models.ref import Kind, require_no_path, require_path


def _open_tags(where: str, **_: Any) -> None:
    require_no_path("tags", where)


def _open_column(where: str, **_: Any) -> None:
    require_path("column", where, "NAME")


CAPTIONERS: dict[str, Kind] = {
    "tags": Kind(_open_tags, "tags", "the tagger's words and what was measured, in a sentence"),
    "column": Kind(_open_column, "column@NAME", "captions of another column of the manifest"),
    **LISTENING,
}
