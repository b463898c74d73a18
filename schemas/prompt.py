"""The prompt of a clip: quality prefix and caption (QA-MDT, arXiv 2405.15863, section 3.2)."""

from __future__ import annotations


def prompt_of(prefix: str | None, caption: str | None) -> str | None:
    """Prefix and caption as the paper's text prompt: `high quality, a slow piano piece`."""
    return ", ".join(t for t in (prefix, caption) if t) or None
