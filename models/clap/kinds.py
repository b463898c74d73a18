"""The kinds of audio-text models, by name.

`embedded` (clap-mini, `mini.py`), `tagtext` (`tagtext.py`, a part of clap-mini), `clap@FOLDER` (a
CLAP model in Hugging Face's layout, `huggingface.py`) and `laion@FILE.pt` (one as LAION published
it, `laion.py`). Cosines of different models are not comparable: thresholds belong to one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..ref import require_no_path, require_path


def _open_embedded(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .mini import ClapMiniMatch

    require_no_path("embedded", where)
    return ClapMiniMatch(cache, device)


def _open_tagtext(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .tagtext import TagTextMatch

    require_no_path("tagtext", where)
    return TagTextMatch(cache, device)


def _open_clap(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .huggingface import ClapMatch

    return ClapMatch(Path(require_path("clap", where, "FOLDER")), device)


def _open_laion(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .laion import LaionMatch

    return LaionMatch(require_path("laion", where, "FILE.pt"), device)


MATCHERS: dict[str, Callable[..., Any]] = {
    "embedded": _open_embedded,
    "tagtext": _open_tagtext,
    "clap": _open_clap,
    "laion": _open_laion,
}
