"""tags-mini: from which probability on each of the tagger's words may be said.

    python -m qamdt.recipes.tags.calibrate_tags

A word of which enough is known gets the least probability from which it fits a share `PRECISION` of
the clips that reach it (median over resamples of scores and tracks); where no probability does that,
the word is not to be said. A word that is known to fit too few clips gets the probability that
`FALSE_ALARMS` of those reach that it does not fit (of music in general, where nothing is known of
it), and no promise; words for voices are held to less. Writes models/weights/tags-mini.json. Hears
1,030 rendered clips and 104 of real tracks first, eleven CPU minutes where nothing is in the cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...models.fetch import registry
from ...models.tags.tagger import MusicnnTagger
from .tags_data import Row, load
from .tags_truth import VOICES

PRECISION = 0.7
LEAST_SAID = 8  # clips that must reach a threshold before its precision counts for anything
LEAST_KNOWN = 20  # clips that a word fits, and as many that it does not, to calibrate it
MOST_FIT = 0.33  # share of clips that a word may fit: of commoner ones the clips count for less
FALSE_ALARMS = 0.02
VOICE_ALARMS = 0.005  # of each of a dozen words for a voice: any of them makes a caption say one
RESAMPLES = 200
FILE = registry.WEIGHTS / "tags-mini.json"


@dataclass(frozen=True)
class Known:
    """One word where it is known. p, fits: [n]; group: the score or track of each clip."""

    p: np.ndarray
    fits: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Word:
    """What is known of a word: see the JSON file's `about`."""

    threshold: float | None
    calibrated: bool
    fits: int
    fits_not: int
    sigmoid: tuple[float, float] | None = None


def known(rows: Sequence[Row], names: Sequence[str], word: str) -> Known:
    """The clips of which it is known whether `word` fits."""
    truth = [(row, row.truth[word]) for row in rows if word in row.truth]
    at = list(names).index(word)
    return Known(
        np.array([row.probabilities[at] for row, _ in truth], float),
        np.array([fits for _, fits in truth], bool),
        np.array([row.package + row.name for row, _ in truth]),
    )


def least_thresholds(of: Known, times: np.ndarray, precision: float = PRECISION) -> np.ndarray:
    """[rounds]: the lowest p from which the word fits a share of `precision` of the clips; infinite
    where there is none. times: [rounds, n], how often each clip counts."""
    order = np.argsort(-of.p, kind="stable")
    p, fits, times = of.p[order], of.fits[order], times[:, order]
    said, right = np.cumsum(times, 1), np.cumsum(times * fits, 1)
    good = (right >= precision * said) & (said >= LEAST_SAID)
    good[:, :-1] &= p[:-1] > p[1:]  # equal ones are all said, or none
    last = len(p) - 1 - np.argmax(good[:, ::-1], 1)
    return np.where(good.any(1), p[last], np.inf)


def stable_threshold(of: Known, rng: np.random.Generator) -> float | None:
    """The median of `least_thresholds` over resampled groups; None where most have none.

    Precision depends on how common a word is: drums, in half of the clips, would be said at a hint.
    So no word counts as commoner than `MOST_FIT`.
    """
    groups, index = np.unique(of.group, return_inverse=True)
    drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), RESAMPLES)
    share = of.fits.mean()
    less = min(1.0, MOST_FIT / (1 - MOST_FIT) * (1 - share) / share)
    times = drawn[:, index] * np.where(of.fits, less, 1.0)
    middle = np.quantile(least_thresholds(of, times), 0.5, method="lower")
    return None if np.isinf(middle) else float(middle)


def sigmoid(of: Known) -> tuple[float, float]:
    """Platt's scaling: (slope, offset) of the logit that best predicts whether the word fits."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0).fit(logit(of.p)[:, None], of.fits)
    return round(float(model.coef_[0, 0]), 4), round(float(model.intercept_[0]), 4)


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def calibrate(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Word]:
    """A `Word` for each name, from rows of the training split."""
    rng = np.random.default_rng(0)
    words = {}
    for at, name in enumerate(names):
        of = known(rows, names, name)
        fits, fits_not = int(of.fits.sum()), int((~of.fits).sum())
        if min(fits, fits_not) >= LEAST_KNOWN:
            threshold = stable_threshold(of, rng)
            words[name] = Word(_short(threshold), True, fits, fits_not, sigmoid(of))
            continue
        if fits_not >= LEAST_KNOWN:
            alarms = VOICE_ALARMS if name in VOICES else FALSE_ALARMS
            threshold = float(np.quantile(of.p[~of.fits], 1 - alarms))
        else:
            threshold = in_general(rows, at)
        words[name] = Word(_short(threshold), False, fits, fits_not)
    return words


def in_general(rows: Sequence[Row], at: int) -> float:
    """What `FALSE_ALARMS` of music reaches with its word number `at`: the mean over recordings and
    rendered pieces."""
    kinds = [[r.probabilities[at] for r in rows if bool(r.package) == real] for real in (0, 1)]
    return float(np.mean([np.quantile(p, 1 - FALSE_ALARMS) for p in kinds if p]))


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def main() -> None:
    """Hear, calibrate, write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path(registry.DEFAULT_CACHE).expanduser())
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = MusicnnTagger(given.cache).names
    rows = load("train", given.cache)
    words = calibrate(rows, names)
    about = {
        "tagger": MusicnnTagger.model_id,
        "precision": PRECISION,
        "most_fit": MOST_FIT,
        "false_alarms": FALSE_ALARMS,
        "clips_rendered": sum(not row.package for row in rows),
        "clips_real": sum(bool(row.package) for row in rows),
    }
    plain = {name: asdict(word) for name, word in words.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(word)}" for name, word in plain.items())
    FILE.write_text(f'{{"about": {json.dumps(about)},\n"words": {{\n{lines}\n}}}}\n')
    for name, word in words.items():
        shown = "not said" if word.threshold is None else f"{word.threshold:.3f}"
        kind = "calibrated" if word.calibrated else "by alarms"
        print(f"{name:20} {shown:9} {kind:12} fits {word.fits}, not {word.fits_not}")


if __name__ == "__main__":
    main()
