"""qamdt: quality-aware data curation, training and evaluation for text-to-music.

    import qamdt
    ds = qamdt.curate("music/", "out/mine")
    qamdt.evaluate("generated/", reference="music/").df()

Names are imported when they are first used: `import qamdt` alone loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .schemas.version import __version__

if TYPE_CHECKING:
    from .curate.api import Dataset, curate, filter, quantize
    from .curate.plugin import (
        captioner,
        codec,
        embedder,
        filter_rule,
        listener,
        llm,
        match_model,
        pmos_model,
        tagger,
        text_encoder,
    )
    from .evaluate.api import Comparison, Evaluation, compare, evaluate
    from .reports.answer import Answer
    from .schemas.errors import QamdtError
    from .train.api import GeneratedSound, Run, fit, generate, latents

__all__ = [
    "Answer", "Comparison", "Dataset", "Evaluation", "GeneratedSound", "QamdtError", "Run",
    "__version__", "captioner", "codec", "compare", "curate", "embedder", "evaluate", "filter",
    "filter_rule", "fit", "generate", "latents", "listener", "llm", "match_model", "pmos_model",
    "quantize", "tagger", "text_encoder",
]  # fmt: skip

_HOMES = {
    ".curate.api": ("Dataset", "filter", "quantize"),
    ".curate.plugin": (
        "captioner",
        "codec",
        "embedder",
        "filter_rule",
        "listener",
        "llm",
        "match_model",
        "pmos_model",
        "tagger",
        "text_encoder",
    ),
    ".evaluate.api": ("Comparison", "Evaluation", "compare"),
    ".reports.answer": ("Answer",),
    ".schemas.errors": ("QamdtError",),
    ".train.api": ("GeneratedSound", "Run", "fit", "generate", "latents"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_CALLABLE = ("curate", "evaluate")  # packages that are called by their own name


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
