"""Captions for clap-mini: facts in words, in several wordings, and with one fact exchanged.

Facts come from the arranger (rendered pieces), or from a recording's metadata and what librosa
measures on the whole of it (`real_facts`). `write` puts them into English: wordings 0 to 3 are for
training, `TEST_WORDINGS` are sentence patterns that no training caption has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ...models.tags.tempo_key import KEYS
from .styles import INSTRUMENTS, PATTERNS, STYLES

TRAIN_WORDINGS, TEST_WORDINGS = (0, 1, 2, 3), (4, 5, 6, 7)
ATTRIBUTES = ("lead", "tempo", "drums", "genre", "mode")

# upper bounds of the paces in BPM, and words for each
PACES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (68, ("very slow", "extremely slow")),
    (88, ("slow", "unhurried", "leisurely")),
    (114, ("mid-tempo", "moderate", "moderately paced")),
    (146, ("fast", "up-tempo", "quick", "brisk")),
    (999, ("very fast", "frantic", "rapid")),
)
# name -> bounds between five levels (about the quintiles of the training tracks), words for each
LEVELS: dict[str, tuple[tuple[float, ...], tuple[tuple[str, ...], ...]]] = {
    "rms_db": ((-29.0, -26.5, -23.5, -19.0), (
        ("very quiet", "very soft in level"), ("quiet", "soft in level"),
        ("of medium loudness", "medium loud"), ("loud",), ("very loud", "extremely loud"))),
    "centroid_hz": ((1150.0, 1850.0, 2500.0, 2900.0), (
        ("very dark and muffled in tone", "a very dull, dark sound"),
        ("dark in tone", "a warm, dark sound"), ("balanced in tone", "a balanced sound"),
        ("bright in tone", "a bright sound"), ("very bright and crisp", "a very bright sound"))),
    "onsets_hz": ((2.8, 4.2, 4.9, 6.4), (
        ("very sparse, with few notes", "long held sounds"), ("sparse", "with rather few notes"),
        ("moderately busy",), ("busy", "with many notes"),
        ("very busy, dense with notes", "a dense stream of notes"))),
    "percussive": ((0.38, 0.48, 0.515, 0.585), (
        ("smooth and sustained", "entirely smooth and sustained"),
        ("mostly sustained sounds", "rather smooth"), ("partly percussive",),
        ("percussive and punchy", "clearly rhythmic, percussive"),
        ("very percussive, full of hits", "dominated by percussion"))),
}  # fmt: skip
ALIKE = (  # words that describe the same sound: not exchanged for one another
    {"violin", "fiddle", "viola"}, {"overdriven guitar", "distorted electric guitar"},
    {"acoustic guitar", "nylon-string guitar"}, {"recorder", "flute", "ocarina"},
    {"sawtooth synth", "synth lead"}, {"string orchestra", "synth strings"},
    {"clean electric guitar", "jazz guitar", "muted electric guitar"}, {"trumpet", "brass section"},
    {"celesta", "music box", "glockenspiel"}, {"marimba", "xylophone"},
    {"rock", "punk"}, {"techno", "house"}, {"ambient", "new age"}, {"orchestral", "film score"},
    {"jazz", "smooth jazz"}, {"baroque", "chamber"}, {"country", "folk"}, {"rock", "blues"},
)  # fmt: skip

# what is known of each album from its package, its tags and its song lists
ALBUMS: dict[str, tuple[str, ...]] = {
    "fretsonfire-songs-muldjord": ("death metal", "brutal death metal", "extreme metal"),
    "fretsonfire-songs-sectoid": ("heavy metal", "instrumental metal", "hard rock and metal"),
    "nexuiz-music": ("electronic game music", "electronic industrial", "electronic"),
    "singularity-music": ("ambient electronic", "science-fiction game soundtrack", "electronica"),
    "planetblupi-music-ogg": ("light video game music", "children's game music", "easy listening"),
    "hyperrogue-music": ("fantasy game soundtrack", "atmospheric game music", "game soundtrack"),
}
STEMS = {  # file -> instruments, drums: each song of these packages is kept as two files
    "guitar.ogg": ("lone distorted lead guitar", ""),
    "song.ogg": ("bass and rhythm guitars", "rock"),
}


@dataclass(frozen=True)
class Facts:
    """What a caption may say. Empty or None is unknown, but `drums` "" is: there are none.

    genre: a key of STYLES, or words. drums: a key of PATTERNS. key: one of `tempo_key.KEYS`.
    levels: name in LEVELS -> 0..4. title: of the track.
    """

    lead: str = ""
    backing: tuple[str, ...] = ()
    genre: str = ""
    mood: str = ""
    bpm: float | None = None
    key: str | None = None
    drums: str | None = None
    levels: Mapping[str, int] = field(default_factory=dict)
    title: str = ""
    genre_words: tuple[str, ...] = ()

    @classmethod
    def rendered(cls, about: Mapping[str, Any]) -> Facts:
        """Of a rendered clip, from its row in the cache."""
        names = ("lead", "genre", "mood", "bpm", "key", "drums")
        return cls(
            **{name: about[name] for name in names},
            backing=tuple(about["backing"]),
            levels=levels_of(about["numbers"]) if about.get("numbers") else {},
            genre_words=STYLES[about["genre"]].words,
        )


def levels_of(numbers: Mapping[str, Any]) -> dict[str, int]:
    """Measured numbers as levels 0..4."""
    return {
        name: int(np.searchsorted(bounds, numbers[name])) for name, (bounds, _) in LEVELS.items()
    }


def real_facts(about: Mapping[str, Any], numbers: Mapping[str, Any]) -> Facts:
    """Of a real track: its album's genre, its file name, and `numbers` measured on it."""
    path = PurePosixPath(about["name"])
    stem = STEMS.get(path.name) if "fretsonfire" in about["package"] else None
    parts = path.stem.replace("hr3", "").replace("hr", "").replace("_", "-").split("-")
    title = (
        path.parent.name if stem else " ".join(p for p in parts if p not in ("savino", "domina"))
    )
    if title.startswith("music0"):
        title = ""  # numbered files say nothing
    return Facts(
        lead="" if stem is None else stem[0],
        bpm=numbers["tempo_bpm"], key=numbers["key"],
        drums=None if stem is None else stem[1],
        levels=levels_of(numbers), title=title.replace("_", " ").strip().title(),
        genre_words=ALBUMS[about["package"]],
    )  # fmt: skip


# --------------------------------------------------------------------------------------- wordings


def write(facts: Facts, wording: int, rng: np.random.Generator) -> str:
    """A caption that says all of `facts`, in one of eight wordings."""
    words = _Words(facts, rng)
    genre, mood, lead = words.genre, facts.mood, facts.lead
    backing, drums, key, levels = words.backing, words.drums, words.key, words.levels
    pace, bpm = words.pace, words.bpm
    tempo = bpm if rng.random() < 0.5 else pace
    if wording == 0:  # a list of tags
        tags = [genre, mood, lead, *facts.backing, drums, tempo, key, *levels, words.title]
        tags = [tag for tag in tags if tag]
        return ", ".join(tags[i] for i in rng.permutation(len(tags)))
    if wording == 1:
        head = _join(" ", _a(mood or genre), genre if mood else "", words.noun)
        head += f" {pick(('led by', 'featuring', 'with'), rng)} {lead}" if lead else ""
        head += f", accompanied by {backing}" if backing else ""
        head += f", with {drums}" if drums and not words.no_drums else ""
        head += f", {drums}" if words.no_drums else ""
        rest = [f"{pick(('The tempo is', 'It goes', 'Tempo:'), rng)} {tempo}" if tempo else "",
                f"{pick(('It is', 'Played'), rng)} {key}" if key else "",
                f"It is {_and(levels)}" if levels else "", words.titled]  # fmt: skip
        return _join(". ", _upper(head), *rest) + "."
    if wording == 2:
        head = f"{lead} {pick(('plays', 'leads', 'carries'), rng)} " if lead else ""
        head += _join(" ", _a(pace or mood or genre), mood if pace else "",
                      genre if pace or mood else "", pick(("tune", "piece", "song"), rng))  # fmt: skip
        head += f" {key}" if key else ""
        head += f" over {backing}" if backing else ""
        return _join(", ", _upper(head), drums, bpm if rng.random() < 0.5 else "", *levels) + "."
    if wording == 3:
        head = _join(" ", pace, genre, "music", key)
        tail = _join(", ", mood, lead, backing, drums, *levels, words.title)
        return f"{_upper(head)}: {tail}." if tail else f"{_upper(head)}."
    if wording == 4:
        return _join(" ",
            f"This is {_a(genre)} recording.",
            f"The melody is played by {lead}{words.behind}." if lead else "",
            "There is no percussion." if words.no_drums else f"There are {drums}." if drums else "",
            f"It moves {bpm}{f' and stands {key}' if key else ''}." if bpm else "",
            f"The mood is {mood}." if mood else "",
            f"The sound is {_and(levels)}." if levels else "",
            words.titled and words.titled + ".")  # fmt: skip
    if wording == 5:
        head = (
            f"Listen to {lead}{f' with {backing} behind it' if backing else ''} in " if lead else ""
        )
        head += _join(" ", _a(mood or genre), genre if mood else "", "number")
        return _join("; ", _upper(head), _join(", ", pace, key, drums), _join(", ", *levels)) + "."
    if wording == 6:
        return _join(" ",
            _upper(_join(": ", genre, _join(", ", mood, bpm, key))) + ".",
            f"Instruments: {_join(', ', lead, *facts.backing, drums)}." if lead or drums else "",
            f"Character: {_join(', ', *levels)}." if levels else "",
            f"Name: {facts.title}." if facts.title else "")  # fmt: skip
    head = _join(" ", "An instrumental", genre, "composition")
    return _join("; ",
        _join(", ", head, f"{mood} in feeling" if mood else "", f"{pace} in pace" if pace else "",
              f"written {key}" if key else "", f"performed on {lead}" if lead else "",
              f"alongside {backing}" if backing else ""),
        drums, f"overall {_and(levels)}" if levels else "") + "."  # fmt: skip


class _Words:
    """Each fact in words, chosen at random among its synonyms."""

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.genre = pick(facts.genre_words, rng) if facts.genre_words else ""
        self.backing = _and(list(facts.backing))
        self.behind = f"; {self.backing} provide the accompaniment" if facts.backing else ""
        self.noun = pick(("piece", "track", "song", "tune"), rng)
        self.no_drums = facts.drums == ""
        self.drums = ""
        if facts.drums is not None:
            none = ("no drums", "without drums", "no percussion")
            self.drums = pick(PATTERNS[facts.drums].words if facts.drums else none, rng)
        self.pace = self.bpm = ""
        if facts.bpm:
            self.pace = pick(next(words for top, words in PACES if facts.bpm <= top), rng)
            n = round(facts.bpm)
            self.bpm = pick((f"at {n} BPM", f"at about {n} beats per minute", f"at {n} bpm"), rng)
        self.key = ""
        if facts.key:
            mode = facts.key.split()[-1]
            self.key = f"in {facts.key}" if rng.random() < 0.65 else f"in a {mode} key"
        names = [name for name in LEVELS if name in facts.levels]
        self.levels = [pick(LEVELS[name][1][facts.levels[name]], rng) for name in names]
        self.titled = f"Its name is {facts.title}" if facts.title else ""
        self.title = f"called {facts.title}" if facts.title and rng.random() < 0.5 else ""


def pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _join(between: str, *parts: str) -> str:
    return between.join(part for part in parts if part)


def _and(parts: list[str]) -> str:
    return (
        parts[0]
        if len(parts) == 1
        else ", ".join(parts[:-1]) + " and " + parts[-1]
        if parts
        else ""
    )


def _a(word: str) -> str:
    return ("an " if word[:1].lower() in "aeio8" else "a ") + word


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------------ exchange one


def thin(facts: Facts, rng: np.random.Generator) -> Facts:
    """The facts without some of them, as real captions leave things out; never all."""
    drop = rng.random(7)
    names = list(facts.levels)
    kept = {name: facts.levels[name] for name in names if rng.random() < 0.6}
    return dataclasses.replace(
        facts,
        lead="" if drop[0] < 0.12 else facts.lead, backing=() if drop[1] < 0.35 else facts.backing,
        mood="" if drop[2] < 0.35 else facts.mood, bpm=None if drop[3] < 0.3 else facts.bpm,
        key=None if drop[4] < 0.35 else facts.key, drums=None if drop[5] < 0.3 else facts.drums,
        genre_words=() if drop[6] < 0.1 and facts.lead else facts.genre_words, levels=kept,
    )  # fmt: skip


def swap(facts: Facts, attribute: str, rng: np.random.Generator) -> Facts | None:
    """The same facts with one exchanged for a wrong one; None where it is not known."""
    change: dict[str, Any] = {}
    if attribute == "lead" and facts.lead in INSTRUMENTS:
        leads = sorted({name for style in STYLES.values() for name in style.lead})
        same = {facts.lead, *facts.backing}.union(*(a for a in ALIKE if facts.lead in a))
        change["lead"] = pick(tuple(name for name in leads if name not in same), rng)
    elif attribute == "tempo" and facts.bpm:
        apart = np.log2(np.geomspace(48, 205, 60) / facts.bpm)
        fit = (np.abs(apart) > 0.45) & (np.abs(np.abs(apart) - 1) > 0.12)
        change["bpm"] = float(np.geomspace(48, 205, 60)[fit][rng.integers(fit.sum())].round(1))
    elif attribute == "drums" and facts.drums is not None:
        own = STYLES[facts.genre].drums if facts.genre in STYLES else ()
        change["drums"] = "" if facts.drums else pick(own or ("rock", "house", "funk"), rng)
    elif attribute == "genre" and facts.genre in STYLES:
        same = {facts.genre}.union(*(a for a in ALIKE if facts.genre in a))
        genre = pick(tuple(name for name in STYLES if name not in same), rng)
        change |= {"genre": genre, "genre_words": STYLES[genre].words}
    elif attribute == "mode" and facts.key:
        change["key"] = KEYS[(KEYS.index(facts.key) + 12) % 24]
    return dataclasses.replace(facts, **change) if change else None
