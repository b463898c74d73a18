"""CLAP score: how near each clip is to its own text, and to the texts of others.

The score is the mean cosine of clip and text, -1..1: neither clipped at 0 nor times 100. Beside it
stand the mean cosine with all other clips' texts, which no model can fall short of by luck alone,
the difference, and how often the own text is the nearest, or among the ten nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...reports.statistics import Mean, mean_of


@dataclass(frozen=True)
class TextMatch:
    """per_clip: float64 [n] cosines with the own text. matched: their mean.

    mismatched: mean cosine with texts that differ from the own; None where there is none.
    difference: matched less mismatched, over clips. r1, r10: share of clips whose own text is the
    nearest of all different texts (ties count as not), or among the ten nearest.
    """

    per_clip: np.ndarray
    matched: Mean
    mismatched: float | None
    difference: Mean | None
    r1: float
    r10: float


def text_match(audio: np.ndarray, texts: np.ndarray, text_ids: np.ndarray) -> TextMatch:
    """The CLAP score of clips [n, D] and different texts [t, D], clip i having text_ids[i].

    Rows are unit vectors, or all zeros for a blank text, whose cosine is 0.
    """
    audio, texts = np.asarray(audio, np.float64), np.asarray(texts, np.float64)
    near = audio @ texts.T  # [n, t]
    own = near[np.arange(len(audio)), text_ids]
    # ties and rounding: a text as near as the own one goes before it
    before = (near >= own[:, None] - 1e-12).sum(1) - 1
    mismatched = difference = None
    if len(texts) > 1:
        # every other clip's text, as often as clips have it: what a shuffled pairing would draw
        count = np.bincount(text_ids, minlength=len(texts)).astype(np.float64)
        weights = np.where(np.arange(len(texts)) == text_ids[:, None], 0.0, count[None, :])
        others = (near * weights).sum(1) / weights.sum(1)
        mismatched, difference = float(others.mean()), mean_of(own - others)
    return TextMatch(
        own,
        mean_of(own),
        mismatched,
        difference,
        float((before < 1).mean()),
        float((before < 10).mean()),
    )
