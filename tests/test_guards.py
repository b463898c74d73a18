"""Guards: each trips on what it is for, and lets good captions pass."""

from __future__ import annotations

import pytest

from qamdt.curate.guards import Sources, invented, of_any_text, of_merged, says_vocals

GOOD = [
    "A slow, sad piano piece with soft strings in the background.",
    "Death metal with fast double-bass drums and growled vocals",
    "genre: Death Metal; title: Autumn; artist: Muldjord",
    "Baroque harpsichord, quick and bright.",
    "Ein ruhiges Stück für Klavier und Violine.",
    "90s eurodance at 140 BPM",
]
BAD = {
    "empty": ["", "   ", "...", "123 456", None],
    "garbled": [
        "xk#9 qwrtpl zzxkcv bnmmq",
        "PiÃ¨ce de musique trÃ¨s douce",
        "a\x00b piano",
        "%%$$ @@!! ab",
    ],
    "refusal": [
        "I'm sorry, but I can't help with that.",
        "As an AI language model, I cannot listen to music.",
        "Sure, here is a caption of the piece.",
    ],
    "prompt_leak": ["Caption: a slow piano piece.", "One sentence: a guitar solo."],
    "markup": ["A [guitar] piece", "guitar with probability high", "rock 0.83 metal 0.12"],
    "repetition": ["a slow song a slow song a slow song a slow song"],
    "too_long": ["music " + "with piano and soft strings played by many hands " * 9],
}


@pytest.mark.parametrize("text", GOOD)
def test_good_captions_pass(text: str) -> None:
    assert of_any_text(text, 60) == []


@pytest.mark.parametrize(("guard", "text"), [(g, t) for g, ts in BAD.items() for t in ts])
def test_each_guard_trips(guard: str, text: str | None) -> None:
    assert guard in of_any_text(text, 60)


def test_invented_instruments_are_named_and_known_ones_are_not() -> None:
    sources = ["slow piano", "synth, strings", "fiddle tune"]
    assert invented("A slow piano with a saxophone and drums", sources) == {"saxophone", "drum"}
    assert invented("Pianos, a synthesizer, strings and a violin", sources) == set()


def test_merged_texts_are_held_to_their_sources() -> None:
    sources = Sources(("slow piano piece",), vocals=False, secrets=("Autumn Leaves",))
    assert of_merged("A slow piano piece.", sources, 60) == []
    assert of_merged("A slow piano piece with", sources, 60) == ["cut_off"]
    assert of_merged("A slow piano piece with a trumpet.", sources, 60) == ["invented"]
    assert of_merged("A slow piano piece with a soft singer.", sources, 60) == ["vocals"]
    assert of_merged("A slow piano version of autumn leaves.", sources, 60) == ["leak"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a choir sings", True), ("no vocals", False), ("an instrumental", False), ("piano", None)],
)
def test_says_vocals(text: str, expected: bool | None) -> None:
    assert says_vocals(text) is expected
