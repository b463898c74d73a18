"""Facts heard in a clip, and the plain caption that says them.

Tags are sorted into genres, instruments, moods and voices by the vocabulary below (the words that
the embedded tagger knows and their like); what is in none of these lists is not said. A tag counts
from a probability of its own, and the one that is furthest above it is the clearest. The caption is
a fixed sentence: the same facts always give the same words, and nothing is said that was not heard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GENRES: Mapping[str, str] = {
    word: word
    for word in (
        "rock pop alternative indie electronic dance jazz metal soul electronica folk punk blues"
        " ambient experimental country funk electro techno classical opera house rnb"
    ).split()
} | {
    "alternative rock": "alternative rock", "classic rock": "classic rock", "hard rock": "hard rock",
    "indie rock": "indie rock", "heavy metal": "heavy metal", "progressive rock": "progressive rock",
    "indie pop": "indie pop", "hip-hop": "hip-hop", "new age": "new age", "chillout": "chill-out",
    "easy listening": "easy listening", "classic": "classical", "indian": "Indian", "rnb": "R&B",
}  # fmt: skip
INSTRUMENTS: Mapping[str, str] = {
    "guitar": "guitar", "strings": "strings", "drums": "drums", "piano": "piano",
    "violin": "violin", "synth": "synthesizer", "harpsichord": "harpsichord", "flute": "flute",
    "sitar": "sitar", "harp": "harp", "cello": "cello", "beat": "a beat", "beats": "a beat",
    "organ": "organ", "choir": "choir", "choral": "choir",
}  # fmt: skip
MOODS: Mapping[str, str] = {
    "beautiful": "beautiful", "mellow": "mellow", "chill": "relaxed", "party": "party",
    "sexy": "sensual", "catchy": "catchy", "sad": "sad", "happy": "happy", "soft": "soft",
    "quiet": "quiet", "loud": "loud", "weird": "strange", "acoustic": "acoustic", "slow": "slow",
    "fast": "fast",
}  # fmt: skip
FEMALE = frozenset(
    ("female", "woman", "female vocal", "female voice", "female vocalist", "female vocalists")
)
MALE = frozenset(("male", "man", "male vocal", "male voice", "male vocalists"))
VOICES = FEMALE | MALE | {"vocal", "vocals", "singing", "voice", "choir", "choral", "opera"}
NO_VOICES = frozenset(("no vocals", "no vocal", "no voice", "instrumental"))
ONLY_VOICES = (VOICES | NO_VOICES) - GENRES.keys() - INSTRUMENTS.keys()

RHYTHM = ("drums", "a beat")  # one of them is said, after what plays the tune

MOST_INSTRUMENTS = 3
MOST_GENRES = 2
BESIDE = 0.6  # a second genre is said from this share of the first one's clearness
CLEAR = 0.5  # confidence from which the key and a word for the pace are said
CLEAR_BPM = 0.8  # and from which the tempo is said in BPM: it may be doubled or halved
QUIET_LUFS, LOUD_LUFS = -30.0, -10.0  # outside of them a word for the loudness is said
CLEAR_VOICE = 0.25  # least probability for voices, or their absence, where all tags have one limit


@dataclass(frozen=True)
class Facts:
    """What is heard. Tempo in BPM; key as in 'C major'; vocals None where nothing speaks for
    either; loudness in LUFS."""

    genres: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    vocals: bool | None = None
    voice: str | None = None
    tempo_bpm: float | None = None
    tempo_sure: bool = False
    key: str | None = None
    loudness_lufs: float | None = None
    words: frozenset[str] = field(default=frozenset(), compare=False)


def facts_of(
    probabilities: Mapping[str, float],
    limits: float | Mapping[str, float],
    tempo: tuple[float | None, float | None] = (None, None),
    key: tuple[str | None, float | None] = (None, None),
    loudness_lufs: float | None = None,
) -> Facts:
    """Facts from tag probabilities and, each with its confidence 0..1, tempo and key.

    limits: probability from which a tag counts: one for all, or one a tag, and a tag that has none
    never counts.
    """
    lower = {name.lower(): p for name, p in probabilities.items()}
    clear = {w: p / limit for w, p in lower.items() if p >= (limit := _limit(w, limits))}
    ranked = sorted(clear.items(), key=lambda item: (-item[1], item[0]))
    vocals, voice = _vocals(ranked)
    words = [name for name, _ in ranked]
    return Facts(
        genres=_genres(ranked),
        instruments=_instruments(words),
        moods=_say(words, MOODS)[:1],
        vocals=vocals,
        voice=voice,
        tempo_bpm=tempo[0] if (tempo[1] or 0.0) >= CLEAR else None,
        tempo_sure=(tempo[1] or 0.0) >= CLEAR_BPM,
        key=key[0] if (key[1] or 0.0) >= CLEAR else None,
        loudness_lufs=loudness_lufs,
        words=frozenset(words),
    )


def _limit(word: str, limits: float | Mapping[str, float]) -> float:
    if isinstance(limits, Mapping):
        return limits.get(word, math.inf)
    return max(limits, CLEAR_VOICE) if word in ONLY_VOICES else limits


def mean_probabilities(
    rows: Sequence[tuple[Sequence[str], Sequence[float]]],
) -> dict[str, float]:
    """The mean over windows of each tag's probability; a tag not listed by a window counts 0."""
    total: dict[str, float] = {}
    for names, values in rows:
        for name, value in zip(names, values, strict=True):
            total[name] = total.get(name, 0.0) + value
    return {name: value / len(rows) for name, value in total.items()}


def describe(facts: Facts) -> str:
    """The facts as one or two English sentences; "" where nothing was heard clearly."""
    head = [w for w in (_pace(facts), _level(facts), *facts.moods) if w]
    head = list(dict.fromkeys(head))
    if {"slow", "fast", "mid-tempo"} & set(head[1:]):  # the beat's word over the tagger's
        head = [head[0], *(w for w in head[1:] if w not in {"slow", "fast"})]
    kind = " and ".join(facts.genres)
    noun = "music" if not facts.genres else f"{kind} music"
    text = " ".join([*head, noun])
    if facts.instruments:
        text += f" with {_listed(facts.instruments)}"
    if facts.vocals is False:
        text += ", instrumental"
    elif facts.vocals:
        text += f", {facts.voice + ' ' if facts.voice else ''}vocals"
    if facts.key:
        text += f"{',' * (text != 'music')} in {facts.key}"
    if facts.tempo_bpm and facts.tempo_sure:
        text += f", around {facts.tempo_bpm:.0f} BPM"
    if text == "music":
        return ""
    return text[0].upper() + text[1:] + "."


def _pace(facts: Facts) -> str | None:
    if facts.tempo_bpm is None:
        return None
    if facts.tempo_bpm < 80:
        return "slow"
    return "fast" if facts.tempo_bpm >= 132 else "mid-tempo"


def _level(facts: Facts) -> str | None:
    """A word for unusual loudness, where no mood says one."""
    if facts.loudness_lufs is None or {"quiet", "loud", "soft"} & set(facts.moods):
        return None
    if facts.loudness_lufs <= QUIET_LUFS:
        return "quiet"
    return "loud" if facts.loudness_lufs >= LOUD_LUFS else None


def _say(words: Sequence[str], vocabulary: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(vocabulary[w] for w in words if w in vocabulary))


def _instruments(words: Sequence[str]) -> tuple[str, ...]:
    """The clearest instruments, then one word for the rhythm."""
    named = _say(words, INSTRUMENTS)
    rhythm = [word for word in RHYTHM if word in named][:1]
    tune = [word for word in named if word not in RHYTHM]
    return (*tune[: MOST_INSTRUMENTS - len(rhythm)], *rhythm)


def _genres(ranked: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """The clearest genre, and a second one where it is nearly as clear."""
    named = [(name, p) for name, p in ranked if name in GENRES]
    near = [name for name, p in named if p >= BESIDE * named[0][1]]
    return _say(near, GENRES)[:MOST_GENRES]


def _vocals(ranked: Sequence[tuple[str, float]]) -> tuple[bool | None, str | None]:
    """Whether the clearest word about voices says there are any, and whose."""

    def clearest(words: frozenset[str]) -> float:
        return max((clear for name, clear in ranked if name in words), default=0.0)

    yes, no = clearest(VOICES), clearest(NO_VOICES)
    if yes == no:
        return None, None
    if no > yes:
        return False, None
    women, men = clearest(FEMALE), clearest(MALE)
    return True, None if women == men else ("female" if women > men else "male")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
