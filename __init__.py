"""Quality-aware data curation, training and evaluation for text-to-music."""

from typing import Any

from .schemas.version import __version__

__all__ = ["__version__"]

_DECORATORS = (
    "listener", "filter_rule", "captioner", "embedder", "pmos_model", "match_model", "tagger", "llm",
    "codec", "text_encoder",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """The decorators of plug-ins, imported when they are first asked for."""
    if name in _DECORATORS:
        from .curate import plugin

        return getattr(plugin, name)
    raise AttributeError(f"module 'qamdt' has no attribute {name!r}")
