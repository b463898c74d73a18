"""The kinds of audio-text models, by name.

`embedded` (clap-mini, `mini.py`), `tagtext` (`tagtext.py`, a part of clap-mini), `clap@FOLDER` (a
CLAP model in Hugging Face's layout, `huggingface.py`) and `laion@FILE.pt` (one as LAION published
it, `laion.py`). Cosines of different models are not comparable: thresholds belong to one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ref import Kind, require_no_path, require_path


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


MATCHERS: dict[str, Kind] = {
    "embedded": Kind(_open_embedded, "embedded", "clap-mini, our own small network"),
    "tagtext": Kind(_open_tagtext, "tagtext", "the part of clap-mini that was not trained"),
    "clap": Kind(_open_clap, "clap@FOLDER", "a CLAP checkpoint in Hugging Face's layout"),
    "laion": Kind(_open_laion, "laion@FILE.pt", "a CLAP checkpoint as LAION published it"),
}
