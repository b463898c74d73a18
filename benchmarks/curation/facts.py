"""How far the facts of a caption are right, on held-out pieces of which the truth is known.

    python -m qamdt.benchmarks.curation.facts

facts_wrong_instruments    instruments that a caption names and that do not play, a clip
facts_right_instruments    share of the instruments named that do play
facts_lead                 share of leads with a word of their own whose instrument is named
facts_right_genres         share of the genres named that are right, where that is known
facts_nothing              share of clips without a tag above its limit

Each with the defaults (instruments of enough probability), `_unsure` with the tagger's own limits
alone, and `_flat` with one limit of .1 for all words. Pieces are those of the test of
`recipes/tags/data.py`; intervals resample their scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...curate.captions.facts import GENRES, INSTRUMENTS, Facts, facts_of
from ...curate.captions.facts_job import instrument_thresholds
from ...curate.config import CaptionConfig
from ...curate.quality.score import TOP_TAGS
from ...models.tags.tagger import MusicnnTagger
from ...recipes.common.figures import Counts, Figure, ratio_figure, show_figures
from ...recipes.tags.data import Row, load
from ...recipes.tags.truth import INSTRUMENTS as KNOWN

COMMAND = "python -m qamdt.benchmarks.curation.facts"
FLAT = 0.1


def figures(cache: Path | None = None) -> dict[str, Figure]:
    """`{name: {value, low, high, n, unit, command}}`."""
    rows = [row for row in load("test", cache) if not row.package]
    tagger = MusicnnTagger(cache)
    out = {}
    strict = instrument_thresholds(
        tagger.thresholds, tagger.sigmoids, CaptionConfig().min_instrument_probability
    )
    for ending, limits in (("", strict), ("_unsure", tagger.thresholds), ("_flat", FLAT)):
        for name, (counts, unit) in measure(rows, tagger.names, limits).items():
            out[name + ending] = ratio_figure(counts, unit, COMMAND)
    return out


def measure(
    rows: Sequence[Row], names: Sequence[str], limits: float | Mapping[str, float]
) -> dict[str, tuple[Counts, str]]:
    """A row a clip for every figure: its piece, the part that counts, the total."""
    out: dict[str, Counts] = {name: [] for name in UNITS}
    for row in rows:
        facts = facts_as_stored(row, names, limits)
        good, bad = _judged(facts.instruments, INSTRUMENTS, row.truth)
        out["facts_wrong_instruments"].append((row.name, bad, 1))
        out["facts_right_instruments"].append((row.name, good, good + bad))
        if lead := {INSTRUMENTS[w] for w, (played, _) in KNOWN.items() if row.lead in played}:
            out["facts_lead"].append((row.name, float(bool(lead & set(facts.instruments))), 1))
        good, bad = _judged(facts.genres, GENRES, row.truth)
        out["facts_right_genres"].append((row.name, good, good + bad))
        named = (*facts.instruments, *facts.genres, *facts.moods)
        out["facts_nothing"].append((row.name, float(not named), 1))
    return {name: (counts, UNITS[name]) for name, counts in out.items()}


UNITS = {
    "facts_wrong_instruments": "instruments a clip",
    "facts_right_instruments": "share of instruments named",
    "facts_lead": "share of leads that have a word",
    "facts_right_genres": "share of genres named that are known to be right or wrong",
    "facts_nothing": "share of clips",
}


def facts_as_stored(row: Row, names: Sequence[str], limits: float | Mapping[str, float]) -> Facts:
    """The facts that refine would find: of the tags that the score station keeps."""
    kept = np.argsort(-row.probabilities, kind="stable")[:TOP_TAGS]
    return facts_of({names[i]: float(row.probabilities[i]) for i in kept}, limits)


def _judged(
    named: Sequence[str], vocabulary: Mapping[str, str], truth: Mapping[str, bool]
) -> tuple[int, int]:
    """How many of `named` are right, and how many wrong; of the others nothing is known."""
    right = {vocabulary[word] for word, true in truth.items() if true and word in vocabulary}
    wrong = {vocabulary[w] for w, true in truth.items() if not true and w in vocabulary} - right
    return len(right & set(named)), len(wrong & set(named))


def main() -> None:
    """Measure and print."""
    show_figures(figures())


if __name__ == "__main__":
    main()
