"""How far the facts of a caption are right, on held-out pieces of which the truth is known.

    python -m qamdt.benchmarks.curation.facts

facts_wrong_instruments    instruments that a caption names and that do not play, a clip
facts_right_instruments    share of the instruments named that do play
facts_lead                 share of leads with a word of their own whose instrument is named
facts_right_genres         share of the genres named that are right, where that is known
facts_nothing              share of clips of which no tag is said

Each with the defaults (instruments that are sure, `[caption] sure`), `_unsure` with the tagger's own
limits alone, and `_flat` with one limit of .1 for all words. Pieces are
those of `tags_data.py`'s test; intervals resample their scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...curate.captions.facts import GENRES, INSTRUMENTS, Facts, facts_of
from ...curate.captions.facts_job import instrument_thresholds
from ...curate.config import CaptionConfig
from ...curate.quality.score import TOP_TAGS
from ...models.tags.tagger import MusicnnTagger
from ...recipes.tags.tags_data import Row, load
from ...recipes.tags.tags_eval import Counts, ratio
from ...recipes.tags.tags_truth import INSTRUMENTS as KNOWN

COMMAND = "python -m qamdt.benchmarks.curation.facts"
FLAT = 0.1


def figures(cache: Path | None = None) -> dict[str, dict[str, Any]]:
    """`{name: {value, low, high, n, unit, command}}`."""
    rows = [row for row in load("test", cache) if not row.package]
    tagger = MusicnnTagger(cache)
    made = {}
    sure = instrument_thresholds(
        tagger.thresholds, tagger.sigmoids, CaptionConfig().min_instrument_probability
    )
    for ending, limits in (("", sure), ("_unsure", tagger.thresholds), ("_flat", FLAT)):
        for name, (counts, unit) in measure(rows, tagger.names, limits).items():
            made[name + ending] = ratio(counts, unit) | {"command": COMMAND}
    return made


def measure(
    rows: Sequence[Row], names: Sequence[str], limits: float | Mapping[str, float]
) -> dict[str, tuple[Counts, str]]:
    """A row a clip for every figure: its piece, the part that counts, the whole."""
    found: dict[str, Counts] = {name: [] for name in UNITS}
    for row in rows:
        facts = facts_as_stored(row, names, limits)
        good, bad = _judged(facts.instruments, INSTRUMENTS, row.truth)
        found["facts_wrong_instruments"].append((row.name, bad, 1))
        found["facts_right_instruments"].append((row.name, good, good + bad))
        if lead := {INSTRUMENTS[w] for w, (played, _) in KNOWN.items() if row.lead in played}:
            found["facts_lead"].append((row.name, float(bool(lead & set(facts.instruments))), 1))
        good, bad = _judged(facts.genres, GENRES, row.truth)
        found["facts_right_genres"].append((row.name, good, good + bad))
        said = (*facts.instruments, *facts.genres, *facts.moods)
        found["facts_nothing"].append((row.name, float(not said), 1))
    return {name: (counts, UNITS[name]) for name, counts in found.items()}


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
    said: Sequence[str], vocabulary: Mapping[str, str], truth: Mapping[str, bool]
) -> tuple[int, int]:
    """How many of `said` are right, and how many wrong; of the others nothing is known."""
    right = {vocabulary[word] for word, fits in truth.items() if fits and word in vocabulary}
    wrong = {vocabulary[w] for w, fits in truth.items() if not fits and w in vocabulary} - right
    return len(right & set(said)), len(wrong & set(said))


def main() -> None:
    """Measure and print."""
    for name, f in figures().items():
        between = f"[{f['low']:.3f}, {f['high']:.3f}]"
        print(f"{name:32} {f['value']:.3f} {between:16} n {f['n']:<5} {f['unit']}")


if __name__ == "__main__":
    main()
