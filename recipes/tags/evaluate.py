"""How reliable tags-mini's words are, and tempo and key, on pieces held out.

    python -m qamdt.recipes.tags.evaluate

tags_precision_WORD, tags_recall_WORD   calibrated words that have a threshold
tags_said_precision, tags_said_recall   all of them together
tags_brier_heard, _sigmoid, _blind      of raw probabilities, through the sigmoid, and of the share
                                        of positives in training alone
tags_tempo_4pct, tags_tempo_octave      tempo right within 4%; up to a factor of 2 or 3
tags_key, tags_key_mirex                key right; MIREX's weighted score
tags_..._said                           the same where the confidence suffices for a caption

Intervals resample scores and tracks. What captions make of it: `benchmarks/curation/facts.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.tags.tagger import MusicnnTagger
from ...models.tags.tempo_key import KEYS
from ..common.figures import Counts, Figure, ratio_figure, show_figures
from .calibrate import FILE, labelled, logit
from .data import Row, load

COMMAND = "python -m qamdt.recipes.tags.evaluate"
MIN_CONFIDENCE = {"key": 0.5, "tempo": 0.8}  # as the captions have it
FACTORS = (1.0, 2.0, 0.5, 3.0, 1 / 3)


def figures(cache: Path | None = None) -> dict[str, Figure]:
    """`{name: {value, low, high, n, unit, command}}` of the held-out split."""
    rows = load("test", cache)
    tagger = MusicnnTagger(cache)
    words = json.loads(FILE.read_text(encoding="utf-8"))["words"]
    rendered = [row for row in rows if not row.package]
    counts = {
        **of_words(rows, tagger.names, words),
        **of_probabilities(rendered, tagger.names, words),
        **of_tonal(rendered),
    }
    return {
        name: ratio_figure(rows, unit, COMMAND) for name, (rows, unit) in counts.items() if rows
    }


def of_words(
    rows: Sequence[Row], names: Sequence[str], words: Mapping[str, Any]
) -> dict[str, tuple[Counts, str]]:
    """Precision and recall of each calibrated word that has a threshold, and of all together."""
    out: dict[str, tuple[Counts, str]] = {}
    all_predicted: Counts = []
    all_positive: Counts = []
    for word, about in words.items():
        if not about["calibrated"] or about["threshold"] is None:
            continue
        of = labelled(rows, names, word)
        predicted = of.p >= about["threshold"]
        clips = list(zip(of.group, predicted & of.positive, predicted, of.positive, strict=True))
        precision: Counts = [(g, float(hit), 1.0) for g, hit, p, _ in clips if p]
        recall: Counts = [(g, float(hit), 1.0) for g, hit, _, positive in clips if positive]
        short = word.replace(" ", "_")
        out[f"tags_precision_{short}"] = precision, "share of clips of which it is said"
        out[f"tags_recall_{short}"] = recall, "share of clips that it fits"
        all_predicted, all_positive = all_predicted + precision, all_positive + recall
    out["tags_said_precision"] = all_predicted, "share of words said"
    out["tags_said_recall"] = all_positive, "share of words that fit and may be said"
    return out


def of_probabilities(
    rows: Sequence[Row], names: Sequence[str], words: Mapping[str, Any]
) -> dict[str, tuple[Counts, str]]:
    """Brier's score over all calibrated words: of raw probabilities, through the sigmoid, and of the
    share of positives in training alone."""
    raw: Counts = []
    through: Counts = []
    blind: Counts = []
    for word, about in words.items():
        if not about["sigmoid"]:
            continue
        of = labelled(rows, names, word)
        slope, offset = about["sigmoid"]
        share = about["fits"] / (about["fits"] + about["fits_not"])
        scaled = 1 / (1 + np.exp(-(slope * logit(of.p) + offset)))
        for counts, p in ((raw, of.p), (through, scaled), (blind, np.full(len(of.p), share))):
            counts += [
                (g, float(e), 1.0) for g, e in zip(of.group, (p - of.positive) ** 2, strict=True)
            ]
    unit = "mean squared error of a probability"
    return {
        "tags_brier_heard": (raw, unit),
        "tags_brier_sigmoid": (through, unit),
        "tags_brier_blind": (blind, unit),
    }


def of_tonal(rows: Sequence[Row]) -> dict[str, tuple[Counts, str]]:
    """Tempo and key by `tempo_key.py`, of all clips and of those of enough confidence."""
    out: dict[str, tuple[Counts, str]] = {}

    def add(name: str, unit: str, score: Callable[[Row], float | None]) -> None:
        part = [(row, value) for row in rows if (value := score(row)) is not None]
        out[name] = [(row.name, value, 1.0) for row, value in part], unit
        kind = "tempo" if "tempo" in name else "key"
        clear = [(row, value) for row, value in part if is_confident(row, kind)]
        out[f"{name}_said"] = [(row.name, value, 1.0) for row, value in clear], unit

    add("tags_tempo_4pct", "share of clips", lambda row: tempo_right(row, (1.0,)))
    add("tags_tempo_octave", "share of clips", lambda row: tempo_right(row, FACTORS))
    add("tags_key", "share of clips of known key", lambda row: key_score(row, exact=True))
    add("tags_key_mirex", "MIREX score, 0..1", lambda row: key_score(row, exact=False))
    return out


def tempo_right(row: Row, factors: Sequence[float]) -> float | None:
    """1 where the estimate is within 4% of the true tempo times one of `factors`."""
    if row.bpm is None:
        return None
    bpm = row.tonal["tempo_bpm"]
    return float(bpm is not None and any(abs(bpm / (row.bpm * f) - 1) <= 0.04 for f in factors))


def key_score(row: Row, exact: bool) -> float | None:
    """1 for the right key; else, unless `exact`, MIREX's .5 for a fifth, .3 for the relative and .2
    for the parallel key. None where the key is not known."""
    if row.key is None:
        return None
    if row.tonal["key"] == row.key:
        return 1.0
    if exact or row.tonal["key"] is None:
        return 0.0
    (true, minor), (mine, mine_minor) = (
        (at % 12, at >= 12) for at in (KEYS.index(row.key), KEYS.index(row.tonal["key"]))
    )
    if minor == mine_minor:
        return 0.5 if (mine - true) % 12 in (5, 7) else 0.0
    relative = (true + 3) % 12 if minor else (true + 9) % 12
    return 0.3 if mine == relative else 0.2 if mine == true else 0.0


def is_confident(row: Row, kind: str) -> bool:
    """Whether the estimate of `kind`, "key" or "tempo", may stand in a caption."""
    return (row.tonal[f"{kind}_confidence"] or 0.0) >= MIN_CONFIDENCE[kind]


def main() -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    show_figures(figures())


if __name__ == "__main__":
    main()
