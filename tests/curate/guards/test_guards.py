"""Guards: each trips on what a real language model says, and lets good captions pass.

data/llm_outputs.txt holds answers of SmolLM2-135M-Instruct to prompts of all kinds, as they came, with
the guard that each must trip.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qamdt.curate.config import RefineConfig
from qamdt.curate.guards.instruments import instruments_in, invented
from qamdt.curate.guards.language import is_english
from qamdt.curate.guards.rules import text_guards, too_long
from qamdt.curate.guards.sources import (
    Sources,
    file_tags,
    names_in,
    other_tempo,
    says_vocals,
    source_guards,
)
from qamdt.curate.guards.tokens import Estimate
from qamdt.models.clap.sentence_embedder import SentenceEmbedder

OUTPUTS = [
    line.split(" :: ")
    for line in (Path(__file__).parents[2] / "data" / "llm_outputs.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
GUARDS = (
    "empty garbled refusal prompt_leak markup repetition wrong_language too_long cut_off labels"
    " invented invented_vocals vocals tempo forgets names near_duplicate"
).split()
GOOD = [
    "A slow, sad piano piece with soft strings in the background.",
    "Death metal with fast double-bass drums and growled vocals",
    "genre: Death Metal; title: Autumn; artist: Muldjord",
    "Baroque harpsichord, quick and bright.",
    "90s eurodance at 140 BPM",
    "rock, guitar, loud, fast, drums, bass, 80s, male vocals, heavy, live, energetic, anthem, power",
    "A quartet of saxophones playing moody light jazz music at a slow pace, in a minor key.",
]
BAD = {
    "empty": ["", "   ", "...", "123 456", None],
    "garbled": [
        "xk#9 qwrtpl zzxkcv bnmmq", "PiÃ¨ce de musique trÃ¨s douce", "a\x00b piano",
        "%%$$ @@!! ab",
    ],
    "markup": ["A [guitar] piece", "guitar with probability high", "rock 0.83 metal 0.12"],
    "repetition": ["a slow song a slow song a slow song a slow song"],
    "wrong_language": ["Ein ruhiges Stück für Klavier und Violine.", "静かなピアノ曲"],
}  # fmt: skip


def sources_of(original: str, facts: str) -> Sources:
    """What refine would hold an answer to."""
    bpm = re.search(r"around (\d+) BPM", facts)
    pace = {"Slow": 70.0, "Fast": 150.0}.get(facts.split()[0])
    told = file_tags(original)
    return Sources(
        texts=(original, facts),
        original=original,
        vocals=says_vocals(facts),
        tempo_bpm=float(bpm.group(1)) if bpm else pace,
        names=tuple(v for k, v in told.items() if k in ("title", "artist")),
    )


def tripped(text: str, original: str, facts: str) -> list[str]:
    words, tokens = len(text.split()), Estimate().count([text])[0]
    found = [*text_guards(text), *source_guards(text, sources_of(original, facts))]
    return found + ["too_long"] * too_long(words, tokens, 60, 128)


@pytest.mark.parametrize("number", range(len(OUTPUTS)))
def test_what_a_language_model_said(number: int) -> None:
    wanted, original, facts, plain = OUTPUTS[number]
    text = json.loads(plain)
    if wanted == "-":
        assert tripped(text, original, facts) == []
    elif wanted == "near_duplicate":
        texts = [json.loads(row[3]) for row in OUTPUTS if row[0] == wanted]
        vectors = SentenceEmbedder().embed(texts)
        least = RefineConfig().near_dup_similarity
        alike = int((vectors @ vectors[texts.index(text)] >= least).sum()) - 1
        assert alike > 0, "nearly the same answer to another prompt"
        assert wanted in source_guards(text, Sources(near_duplicates=alike, near_dup_limit=1))
    else:
        assert wanted in tripped(text, original, facts)


def test_every_guard_has_a_real_output_and_some_are_clean() -> None:
    assert {row[0] for row in OUTPUTS} == {*GUARDS, "-"}
    assert sum(row[0] == "-" for row in OUTPUTS) >= 6


@pytest.mark.parametrize("text", GOOD)
def test_good_captions_pass(text: str) -> None:
    assert text_guards(text) == []


@pytest.mark.parametrize(("guard", "text"), [(g, t) for g, ts in BAD.items() for t in ts])
def test_each_guard_trips(guard: str, text: str | None) -> None:
    assert guard in text_guards(text)


def test_invented_instruments_are_named_and_known_ones_are_not() -> None:
    sources = ["slow piano", "synth, strings", "fiddle tune"]
    assert invented("A slow piano with a saxophone and drums", sources) == {"saxophone", "drum"}
    assert invented("Pianos, a synthesizer, strings and a violin", sources) == set()
    assert invented("keyboards and strings", ["piano and cello"]) == set(), "families of what plays"
    assert invented("a piano", ["keyboard"]) == {"piano"}, "never the reverse"
    assert instruments_in("saxes, oboes and bass-drums") == {"saxophone", "oboe", "bass", "drum"}


def test_merged_texts_are_held_to_their_sources() -> None:
    sources = Sources(("slow piano piece",), vocals=False, names=("Autumn Leaves",))
    assert source_guards("A slow piano piece.", sources) == []
    assert source_guards("A slow piano piece with", sources) == ["cut_off"]
    assert source_guards("A slow piano piece with a trumpet.", sources) == ["invented"]
    assert source_guards("A slow piano piece with a soft singer.", sources) == [
        "invented_vocals", "vocals",
    ]  # fmt: skip
    assert source_guards("A slow piano version of autumn leaves.", sources) == ["names"]
    assert not names_in("An autumnal piece", ("Autumn",)) and not names_in("of art", ("Art",))


@pytest.mark.parametrize(
    ("text", "original", "bpm", "wrong"),
    [("A fast piece.", "piano", 60.0, True), ("A slow piece.", "piano", 60.0, False),
     ("A fast piece.", "a fast piece", 60.0, False), ("A slow piece.", "a fast piece", None, True),
     ("A piece at 90 BPM.", "around 120 BPM", None, True),
     ("A piece at 118 bpm.", "around 120 BPM", None, False)],
)  # fmt: skip
def test_tempo_is_what_is_heard_or_told(
    text: str, original: str, bpm: float | None, wrong: bool
) -> None:
    sources = Sources(texts=(original,), original=original, tempo_bpm=bpm)
    assert other_tempo(text, sources) is wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a choir sings", True), ("no vocals", False), ("an instrumental", False), ("piano", None)],
)
def test_says_vocals(text: str, expected: bool | None) -> None:
    assert says_vocals(text) is expected


@pytest.mark.parametrize("text", ["piano, cello", "A duet of oboes", "Musica de piano? no, rock"])
def test_little_is_no_other_language(text: str) -> None:
    assert is_english(text)


def test_the_quality_prefix_counts() -> None:
    assert (
        not too_long(10, 124, 60, 124) and too_long(10, 125, 60, 124) and too_long(61, 5, 60, 124)
    )
    (alone,), (both,) = Estimate().count(["piano"]), Estimate().count(["medium quality, piano"])
    assert both > alone >= 2
