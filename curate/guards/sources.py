"""Guards on an LLM's text: it may say what its sources say, and must keep what the original says.

cut_off         ends within a sentence
labels          "title: ...", as in file tags
invented        an instrument that is in none of the sources
invented_vocals voices or singing that are in none of the sources
vocals          says voices where none are heard, or none where some are
tempo           says slow where it is fast, or the reverse, or another BPM
forgets         lacks an instrument or much of what the original says
names           title or artist of the file's own tags (where that is not allowed)
near_duplicate  nearly the same text came of many different originals
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .instruments import WORD, instruments_in, invented
from .language import SMALL
from .rules import tripped

_VOCAL = re.compile(
    r"\b(vocals?|vocalists?|sing(s|ers?|ing)?|sung|sang|lyrics?|voices?|choirs?|choral|rapp(er|ing))\b",
    re.I,
)
_NO_VOCAL = re.compile(
    r"\b(no|without|lacks?|lacking)\s+(any\s+)?(vocals?|voices?|singing|lyrics)\b", re.I
)
_SLOW = re.compile(r"\b(slow(ly)?|leisurely|unhurried|slow-paced|adagio|largo)\b", re.I)
_FAST = re.compile(
    r"\b(fast|rapid(ly)?|fast-paced|up-?tempo|frantic|frenetic|presto|brisk)\b", re.I
)
_BPM = re.compile(r"(\d+(?:\.\d+)?)\s*(?:bpm\b|beats per minute)", re.I)
_LABEL = re.compile(r"\b(genre|title|artist|comment|mood|tempo|instruments?|key)s?\s*:", re.I)
_FILLERS = frozenset("music piece song track recording this that with features featuring".split())
SLOW_BPM, FAST_BPM = 92.0, 116.0  # "fast" is wrong below the one, "slow" above the other
SAME_BPM = 0.04  # MIREX's tolerance


@dataclass(frozen=True)
class Sources:
    """What a merged text may speak of. texts: captions and tags it was made from. original: what it
    must not lose. vocals, tempo_bpm: as heard, None where that is not clear. names: title and artist
    that it must not name. near_duplicates: other originals of which
    nearly the same text came; a text with near_dup_limit of them is refused."""

    texts: tuple[str, ...] = ()
    original: str = ""
    vocals: bool | None = None
    tempo_bpm: float | None = None
    names: tuple[str, ...] = ()
    near_duplicates: int = 0
    near_dup_limit: int = 3


def source_guards(text: str, sources: Sources) -> list[str]:
    """The names of the guards that speak against an LLM's text by its sources."""
    return tripped(
        [
            ("cut_off", lambda: cut_off(text, sources.texts)),
            ("labels", lambda: bool(_LABEL.search(text))),
            ("invented", lambda: bool(invented(text, sources.texts))),
            ("invented_vocals", lambda: _invents_vocals(text, sources)),
            ("vocals", lambda: _other_vocals(text, sources)),
            ("tempo", lambda: other_tempo(text, sources)),
            ("forgets", lambda: forgets(text, sources.original)),
            ("names", lambda: names_in(text, sources.names)),
            ("near_duplicate", lambda: sources.near_duplicates >= sources.near_dup_limit),
        ]
    )


def cut_off(text: str, sources: Collection[str]) -> bool:
    """Whether a text ends without a stop, and not with a full word of its sources either."""
    words = WORD.findall(text.lower())
    if not words or text.rstrip()[-1] in ".!?":
        return False
    known = {word for source in sources for word in WORD.findall(source.lower())}
    return words[-1] in SMALL or words[-1] not in known


def forgets(text: str, original: str) -> bool:
    """Whether `text` lacks an instrument of `original`, or more than 40% of its longer words."""
    if instruments_in(original) - instruments_in(text):
        return True
    words = {w for w in WORD.findall(original.lower()) if len(w) > 3 and w not in _FILLERS}
    kept = words & set(WORD.findall(text.lower()))
    return len(kept) < 0.6 * len(words)


def says_vocals(text: str) -> bool | None:
    """True or False where a text speaks of voices or of their absence, else None."""
    if _NO_VOCAL.search(text) or re.search(r"\binstrumental\b", text, re.I):
        return False
    return True if _VOCAL.search(text) else None


def other_tempo(text: str, sources: Sources) -> bool:
    """Whether a text's pace is not the tempo that is heard, nor what the original says."""
    of_text = {float(number) for number in _BPM.findall(text)}
    of_sources = {float(number) for source in sources.texts for number in _BPM.findall(source)}
    if any(all(abs(bpm - b) > SAME_BPM * b for b in of_sources) for bpm in of_text):
        return True
    slow = bool(_SLOW.search(text)) and not _SLOW.search(sources.original)
    fast = bool(_FAST.search(text)) and not _FAST.search(sources.original)
    if (slow and _FAST.search(sources.original)) or (fast and _SLOW.search(sources.original)):
        return True
    bpm = sources.tempo_bpm
    return bpm is not None and ((slow and bpm > FAST_BPM) or (fast and bpm < SLOW_BPM))


def names_in(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text holds one of the names, as whole words; very short names are passed over."""
    low = text.lower()
    return any(
        len(name) > 3 and re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", low)
        for name in names
    )


def file_tags(caption: str | None) -> Mapping[str, str]:
    """What a caption made from file tags tells, by name: genre, title, artist, comment."""
    parts = (part.partition(":") for part in (caption or "").split("; "))
    return {name.strip(): value.strip() for name, _, value in parts if value.strip()}


def _invents_vocals(text: str, sources: Sources) -> bool:
    known = any(says_vocals(source) for source in sources.texts)
    return bool(says_vocals(text)) and not known


def _other_vocals(text: str, sources: Sources) -> bool:
    return sources.vocals is not None and says_vocals(text) is (not sources.vocals)
