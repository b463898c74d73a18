"""Thresholds of tags-mini: the probability from which on each of the tagger's words is used.

    python -m qamdt.recipes.tags.calibrate

A word with enough labelled clips gets the least probability at which its precision is `PRECISION`
(median over resamples of scores and tracks); where no probability does that, the word is never used.
A word with too few positives gets the probability that `FALSE_ALARMS` of its negatives reach (of
music in general, where it has none), and no promise; words for voices are held to less. Writes
models/weights/tags-mini.json. Tags 1,030 rendered clips and 104 of real tracks first, eleven CPU
minutes where nothing is in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...models.fetch import registry
from ...models.tags.tagger import MusicnnTagger
from ..common.command import recipe_parser
from .data import Row, load
from .truth import VOICES

PRECISION = 0.7
MIN_ABOVE = 8  # clips that must reach a threshold before its precision counts for anything
MIN_LABELLED = 20  # positives, and as many negatives, to calibrate a word
MAX_PREVALENCE = 0.33  # share of positives: where there are more, they count for less
FALSE_ALARMS = 0.02
VOICE_ALARMS = 0.005  # of each of a dozen words for a voice: any of them puts one into a caption
RESAMPLES = 200
FILE = registry.WEIGHTS / "tags-mini.json"


@dataclass(frozen=True)
class Labelled:
    """One word on the clips of which its truth is known.

    p: float [n], the tagger's probability. positive: bool [n]. group: str [n], score or track.
    """

    p: np.ndarray
    positive: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Word:
    """The threshold of a word (None: never used) and how many clips it rests on."""

    threshold: float | None
    calibrated: bool
    positives: int
    negatives: int
    sigmoid: tuple[float, float] | None = None

    def plain(self) -> dict[str, Any]:
        """The word as the JSON file has it."""
        return {
            "threshold": self.threshold, "calibrated": self.calibrated, "fits": self.positives,
            "fits_not": self.negatives, "sigmoid": self.sigmoid,
        }  # fmt: skip


def labelled(rows: Sequence[Row], names: Sequence[str], word: str) -> Labelled:
    """The clips of which it is known whether `word` is true of them."""
    truth = [(row, row.truth[word]) for row in rows if word in row.truth]
    at = list(names).index(word)
    return Labelled(
        np.array([row.probabilities[at] for row, _ in truth], float),
        np.array([positive for _, positive in truth], bool),
        np.array([row.package + row.name for row, _ in truth]),
    )


def least_thresholds(of: Labelled, times: np.ndarray, precision: float = PRECISION) -> np.ndarray:
    """[rounds]: the lowest p at which the precision is at least `precision`; infinite where there is
    none. times: [rounds, n], how often each clip counts."""
    order = np.argsort(-of.p, kind="stable")
    p, positive, times = of.p[order], of.positive[order], times[:, order]
    above, right = np.cumsum(times, 1), np.cumsum(times * positive, 1)
    good = (right >= precision * above) & (above >= MIN_ABOVE)
    good[:, :-1] &= p[:-1] > p[1:]  # equal ones are all above, or none
    last = len(p) - 1 - np.argmax(good[:, ::-1], 1)
    return np.where(good.any(1), p[last], np.inf)


def stable_threshold(of: Labelled, rng: np.random.Generator) -> float | None:
    """The median of `least_thresholds` over resampled groups; None where most have none.

    Precision depends on how common a word is: drums, in half of the clips, would pass at a hint.
    So no word counts as commoner than `MAX_PREVALENCE`.
    """
    groups, index = np.unique(of.group, return_inverse=True)
    drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), RESAMPLES)
    share = of.positive.mean()
    less = min(1.0, MAX_PREVALENCE / (1 - MAX_PREVALENCE) * (1 - share) / share)
    times = drawn[:, index] * np.where(of.positive, less, 1.0)
    middle = np.quantile(least_thresholds(of, times), 0.5, method="lower")
    return None if np.isinf(middle) else float(middle)


def sigmoid(of: Labelled) -> tuple[float, float]:
    """Platt's scaling: (slope, offset) of the logit that best predicts the truth."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0).fit(logit(of.p)[:, None], of.positive)
    return round(float(model.coef_[0, 0]), 4), round(float(model.intercept_[0]), 4)


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def calibrate(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Word]:
    """A `Word` for each name, from rows of the training split."""
    rng = np.random.default_rng(0)
    words = {}
    for at, name in enumerate(names):
        of = labelled(rows, names, name)
        positives, negatives = int(of.positive.sum()), int((~of.positive).sum())
        if min(positives, negatives) >= MIN_LABELLED:
            threshold = stable_threshold(of, rng)
            words[name] = Word(_short(threshold), True, positives, negatives, sigmoid(of))
            continue
        if negatives >= MIN_LABELLED:
            alarms = VOICE_ALARMS if name in VOICES else FALSE_ALARMS
            threshold = float(np.quantile(of.p[~of.positive], 1 - alarms))
        else:
            threshold = in_general(rows, at)
        words[name] = Word(_short(threshold), False, positives, negatives)
    return words


def in_general(rows: Sequence[Row], at: int) -> float:
    """What `FALSE_ALARMS` of music reaches with its word number `at`: the mean over recordings and
    rendered pieces."""
    kinds = [[r.probabilities[at] for r in rows if bool(r.package) == real] for real in (0, 1)]
    return float(np.mean([np.quantile(p, 1 - FALSE_ALARMS) for p in kinds if p]))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def main() -> None:
    """Tag, calibrate, write."""
    import torch

    args = recipe_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    names = MusicnnTagger(args.cache).names
    rows = load("train", args.cache)
    words = calibrate(rows, names)
    about = {
        "tagger": MusicnnTagger.model_id,
        "precision": PRECISION,
        "most_fit": MAX_PREVALENCE,
        "false_alarms": FALSE_ALARMS,
        "clips_rendered": sum(not row.package for row in rows),
        "clips_real": sum(bool(row.package) for row in rows),
    }
    plain = {name: word.plain() for name, word in words.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(word)}" for name, word in plain.items())
    FILE.write_text(f'{{"about": {json.dumps(about)},\n"words": {{\n{lines}\n}}}}\n')
    for name, word in words.items():
        shown = "unused" if word.threshold is None else f"{word.threshold:.3f}"
        kind = "calibrated" if word.calibrated else "by alarms"
        print(f"{name:20} {shown:9} {kind:12} {word.positives} clips for, {word.negatives} against")


if __name__ == "__main__":
    main()
