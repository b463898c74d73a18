"""A loaded CLAP checks itself: captions of unrelated sounds must not be alike.

A checkpoint may load without an error and still be useless, as where a version of the library
changes what its numbers mean: every text then has nearly one vector, and every similarity of a set
is the same. The mean cosine over the pairs of `CAPTIONS` shows it. Measured: .08 for clap-mini, .06
for tagtext-mini, .68 and .76 for random weights in CLAP's own sizes (12 and 2 layers of text), .69
to .97 for eight random ones a thousandth of the size; a collapsed one has .9996. `LIMIT` lies above all
that can tell texts apart at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np

from ...schemas.errors import ModelError
from .vectors import unit_rows

LIMIT = 0.99  # mean cosine from which a model cannot tell captions apart
CAPTIONS = (
    "A slow, sad piano piece.",
    "Aggressive death metal with distorted guitars and pounding drums.",
    "Driving techno with synthesizers and a drum machine.",
    "An a cappella choir sings a solemn hymn.",
    "Birds sing in a forest.",
    "A man speaks in a large hall.",
    "A string quartet plays a lively allegro.",
    "Hip hop with deep bass and rap.",
    "A dog barks.",
    "Fast bluegrass with banjo and fiddle.",
    "Rain falls on a roof.",
    "A trumpet plays a jazz solo over brushed drums.",
)


def mean_cosine(rows: np.ndarray) -> float:
    """The mean cosine over all pairs of rows [n, dim], n at least 2; NaN where a row holds NaN."""
    unit = unit_rows(np.asarray(rows, np.float64))
    return float((unit @ unit.T)[np.triu_indices(len(unit), 1)].mean())


def check_captions(embed_text: Callable[[Sequence[str]], np.ndarray], name: str) -> None:
    """Raise ModelError where a model gives the unrelated `CAPTIONS` nearly one vector, or NaN.

    name: the model, for the message.
    """
    alike = mean_cosine(embed_text(CAPTIONS))
    if not alike < LIMIT:
        raise ModelError(
            f"{name} cannot tell captions apart: {len(CAPTIONS)} unrelated ones have a mean cosine of "
            f"{alike:.4f}, expected below {LIMIT} (the embedded model has .08), so its similarities "
            f"mean nothing. Its weights are damaged, or transformers {version('transformers')} reads "
            "them wrongly: fetch the checkpoint again, try another version of transformers, or take "
            "another model"
        )
