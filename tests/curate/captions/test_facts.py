"""Facts and the plain caption: only what was heard, always the same words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qamdt.curate.captions.facts import (
    GENRES,
    INSTRUMENTS,
    MOODS,
    NO_VOICES,
    VOICES,
    Facts,
    describe,
    facts_of,
    mean_probabilities,
)
from qamdt.curate.guards.instruments import instruments_in
from qamdt.curate.guards.rules import text_guards

_WORDS = sorted({*GENRES, *INSTRUMENTS, *MOODS, *VOICES, *NO_VOICES, "00s"})
_HEARD = st.dictionaries(st.sampled_from(_WORDS), st.floats(0, 1), max_size=12)


def test_golden_sentences() -> None:
    heard = {"metal": 0.8, "guitar": 0.6, "drums": 0.5, "male vocal": 0.4, "loud": 0.3}
    facts = facts_of(heard, 0.1, (181.6, 0.9), ("E minor", 0.8))
    assert describe(facts) == (
        "Fast loud metal music with guitar and drums, male vocals, in E minor, around 182 BPM."
    )
    assert describe(facts_of({"no vocals": 0.5, "piano": 0.3}, 0.1)) == (
        "Music with piano, instrumental."
    )
    assert describe(Facts()) == ""


@given(_HEARD, st.floats(0.01, 0.9))
def test_nothing_is_said_that_was_not_heard(heard: dict[str, float], least: float) -> None:
    facts = facts_of(heard, least)
    loud = " ".join(w for w, p in heard.items() if p >= least)
    known = instruments_in(loud) | instruments_in(
        " ".join(INSTRUMENTS.get(w, "") for w, p in heard.items() if p >= least)
    )
    assert instruments_in(describe(facts)) - {"vocal"} <= known


@given(_HEARD)
def test_the_plain_caption_passes_the_guards(heard: dict[str, float]) -> None:
    text = describe(facts_of(heard, 0.1))
    assert not text or text_guards(text) == []


@given(_HEARD)
def test_order_of_the_tags_does_not_matter(heard: dict[str, float]) -> None:
    assert facts_of(heard, 0.1) == facts_of(dict(reversed(list(heard.items()))), 0.1)


def test_mean_counts_a_missing_tag_as_zero() -> None:
    rows = [(["rock", "pop"], [0.5, 0.25]), (["rock"], [0.25])]
    assert mean_probabilities(rows) == {"rock": 0.375, "pop": 0.125}


def test_uncertain_tempo_and_key_are_not_said() -> None:
    facts = facts_of({"rock": 0.5}, 0.1, (120.0, 0.1), ("C major", 0.2))
    assert describe(facts) == "Rock music."


def test_unusual_loudness_is_said_and_a_key_alone_is_better_than_nothing() -> None:
    assert describe(facts_of({"rock": 0.5}, 0.1, loudness_lufs=-35.0)) == "Quiet rock music."
    assert describe(facts_of({"rock": 0.5}, 0.1, loudness_lufs=-6.0)) == "Loud rock music."
    assert describe(facts_of({"rock": 0.5}, 0.1, loudness_lufs=-16.0)) == "Rock music."
    assert describe(Facts(key="C major")) == "Music in C major."
