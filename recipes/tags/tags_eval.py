"""How far tags-mini's words can be believed, and tempo and key, on pieces held out.

    python -m qamdt.recipes.tags.tags_eval

tags_precision_WORD, tags_recall_WORD   calibrated words that may be said
tags_said_precision, tags_said_recall   all of them together
tags_brier_heard, _sigmoid, _blind      of probabilities as heard, through the sigmoid, and of the
                                        share that each word fits in training alone
tags_tempo_4pct, tags_tempo_octave      tempo right within 4%; up to a factor of 2 or 3
tags_key, tags_key_mirex                key right; MIREX's weighted score
tags_..._said                           the same where it is clear enough to be said

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
from ...reports.statistics import group_counts, percentile_interval
from .calibrate_tags import FILE, known, logit
from .tags_data import Row, load

COMMAND = "python -m qamdt.recipes.tags.tags_eval"
ROUNDS = 1000
SURE_KEY, SURE_TEMPO = 0.5, 0.8  # as the captions have it
FACTORS = (1.0, 2.0, 0.5, 3.0, 1 / 3)

Figures = dict[str, dict[str, Any]]
Counts = list[tuple[str, float, float]]  # group, part, whole: a row a clip


def figures(cache: Path | None = None) -> Figures:
    """`{name: {value, low, high, n, unit, command}}` of the held-out split."""
    rows = load("test", cache)
    tagger = MusicnnTagger(cache)
    words = json.loads(FILE.read_text(encoding="utf-8"))["words"]
    rendered = [row for row in rows if not row.package]
    made = {
        **of_words(rows, tagger.names, words),
        **of_probabilities(rendered, tagger.names, words),
        **of_tonal(rendered),
    }
    return {name: ratio(*value) for name, value in made.items() if value[0]}


def ratio(counts: Counts, unit: str) -> dict[str, Any]:
    """Sum of the parts over the sum of the wholes; the interval resamples groups."""
    groups, index = np.unique([group for group, _, _ in counts], return_inverse=True)
    parts = np.bincount(index, [part for _, part, _ in counts], len(groups))
    wholes = np.bincount(index, [whole for _, _, whole in counts], len(groups))
    drawn = group_counts(np.random.default_rng(0), len(groups), ROUNDS)
    seen = drawn @ wholes > 0
    low, high = percentile_interval((drawn @ parts)[seen] / (drawn @ wholes)[seen])
    return {
        "value": float(parts.sum() / wholes.sum()), "low": float(low), "high": float(high),
        "n": int(sum(whole > 0 for _, _, whole in counts)), "unit": unit, "command": COMMAND,
    }  # fmt: skip


def of_words(
    rows: Sequence[Row], names: Sequence[str], words: Mapping[str, Any]
) -> dict[str, tuple[Counts, str]]:
    """Precision and recall of each calibrated word that may be said, and of all together."""
    found: dict[str, tuple[Counts, str]] = {}
    all_said: Counts = []
    all_fit: Counts = []
    for word, about in words.items():
        if not about["calibrated"] or about["threshold"] is None:
            continue
        of = known(rows, names, word)
        said = of.p >= about["threshold"]
        clips = list(zip(of.group, said & of.fits, said, of.fits, strict=True))
        right: Counts = [(g, float(hit), 1.0) for g, hit, s, _ in clips if s]
        heard: Counts = [(g, float(hit), 1.0) for g, hit, _, fits in clips if fits]
        short = word.replace(" ", "_")
        found[f"tags_precision_{short}"] = right, "share of clips of which it is said"
        found[f"tags_recall_{short}"] = heard, "share of clips that it fits"
        all_said, all_fit = all_said + right, all_fit + heard
    found["tags_said_precision"] = all_said, "share of words said"
    found["tags_said_recall"] = all_fit, "share of words that fit and may be said"
    return found


def of_probabilities(
    rows: Sequence[Row], names: Sequence[str], words: Mapping[str, Any]
) -> dict[str, tuple[Counts, str]]:
    """Brier's score over all calibrated words: as heard, through the sigmoid, and by the share
    that each word fits in training alone."""
    heard: Counts = []
    through: Counts = []
    blind: Counts = []
    for word, about in words.items():
        if not about["sigmoid"]:
            continue
        of = known(rows, names, word)
        slope, offset = about["sigmoid"]
        share = about["fits"] / (about["fits"] + about["fits_not"])
        made = 1 / (1 + np.exp(-(slope * logit(of.p) + offset)))
        for counts, p in ((heard, of.p), (through, made), (blind, np.full(len(of.p), share))):
            counts += [
                (g, float(e), 1.0) for g, e in zip(of.group, (p - of.fits) ** 2, strict=True)
            ]
    unit = "mean squared error of a probability"
    return {
        "tags_brier_heard": (heard, unit),
        "tags_brier_sigmoid": (through, unit),
        "tags_brier_blind": (blind, unit),
    }


def of_tonal(rows: Sequence[Row]) -> dict[str, tuple[Counts, str]]:
    """Tempo and key as `tonal.py` hears them, of all clips and of those that it is sure of."""
    found: dict[str, tuple[Counts, str]] = {}

    def add(name: str, unit: str, score: Callable[[Row], float | None]) -> None:
        part = [(row, value) for row in rows if (value := score(row)) is not None]
        found[name] = [(row.name, value, 1.0) for row, value in part], unit
        sure = [(row, value) for row, value in part if _sure(row, "tempo" in name)]
        found[f"{name}_said"] = [(row.name, value, 1.0) for row, value in sure], unit

    add("tags_tempo_4pct", "share of clips", lambda row: tempo_right(row, (1.0,)))
    add("tags_tempo_octave", "share of clips", lambda row: tempo_right(row, FACTORS))
    add("tags_key", "share of clips of known key", lambda row: key_score(row, exact=True))
    add("tags_key_mirex", "MIREX score, 0..1", lambda row: key_score(row, exact=False))
    return found


def tempo_right(row: Row, factors: Sequence[float]) -> float | None:
    """1 where the tempo heard is within 4% of the true one times one of `factors`."""
    if row.bpm is None:
        return None
    heard = row.heard["tempo_bpm"]
    return float(heard is not None and any(abs(heard / (row.bpm * f) - 1) <= 0.04 for f in factors))


def key_score(row: Row, exact: bool) -> float | None:
    """1 for the right key; else, unless `exact`, MIREX's .5 for a fifth, .3 for the relative and .2
    for the parallel key. None where the key is not known."""
    if row.key is None:
        return None
    if row.heard["key"] == row.key:
        return 1.0
    if exact or row.heard["key"] is None:
        return 0.0
    (true, minor), (mine, mine_minor) = (
        (at % 12, at >= 12) for at in (KEYS.index(row.key), KEYS.index(row.heard["key"]))
    )
    if minor == mine_minor:
        return 0.5 if (mine - true) % 12 in (5, 7) else 0.0
    relative = (true + 3) % 12 if minor else (true + 9) % 12
    return 0.3 if mine == relative else 0.2 if mine == true else 0.0


def _sure(row: Row, tempo: bool) -> bool:
    kind, limit = ("tempo", SURE_TEMPO) if tempo else ("key", SURE_KEY)
    return (row.heard[f"{kind}_confidence"] or 0.0) >= limit


def main() -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    for name, f in figures().items():
        between = f"[{f['low']:.3f}, {f['high']:.3f}]"
        print(f"{name:32} {f['value']:.3f} {between:16} n {f['n']:<5} {f['unit']}")


if __name__ == "__main__":
    main()
