"""What a caption says in so many words of tempo, key and drums: read by rules, not by a network.

Sentence embeddings are poor at numbers, at keys and at "without". These rules read what is stated
plainly ("at 124 BPM", "in F-sharp minor", "slow", "no drums") and leave the rest to the network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

TEMPI = 24
TEMPO_BPM = np.geomspace(40, 220, TEMPI)
SPREAD_OCTAVES = 0.09
FLAGS = 13
SIZE = TEMPI + 24 + FLAGS

# words of a pace, its middle in BPM and how far it reaches in octaves
PACES: tuple[tuple[str, float, float], ...] = (
    ("very slow|extremely slow|glacial|largo|sluggish", 56, 0.25),
    ("very fast|extremely fast|frantic|rapid|breakneck|presto|blazing|frenetic", 168, 0.2),
    ("mid-?tempo|medium tempo|moderate(?:ly)?(?: paced?)?|andante|walking pace", 101, 0.2),
    ("slow|unhurried|leisurely|adagio|down-?tempo|laid-back|relaxed tempo|gentle tempo", 76, 0.25),
    ("fast|up-?tempo|upbeat|quick|brisk|lively|allegro|driving", 130, 0.22),
)
_BPM = re.compile(
    r"(\d{2,3})(?:\.\d+)? ?(?:bpm\b|beats? (?:per|a) minute)|tempo (?:of|is|:) ?(\d{2,3})", re.I
)
_PACES = [re.compile(rf"\b(?:{words})\b", re.I) for words, _, _ in PACES]
_KEY = re.compile(
    r"\b([A-G])(?:[ -]?(sharp|flat)|([#♯b♭]))?[ -](major|minor)\b(?! (?:key|mode|tonality))"
)
_MODE = re.compile(r"\b(major|minor)\b", re.I)
_NO_DRUMS = re.compile(
    r"\b(?:no|without|lacks?|lacking|free of)(?: any)? (?:drum\w*|percussion|beats?)\b"
    r"|\b(?:drumless|beatless|a cappella|unaccompanied)\b", re.I)  # fmt: skip
_DRUMS = re.compile(
    r"\b(?:drum\w*|percussion|percussive|breakbeats?|beat|beats|cymbals?|snare|congas|tom-toms|"
    r"brushes|timpani)\b(?! per)(?! a minute)", re.I)  # fmt: skip
_ALONE = re.compile(r"\b(?:solo|alone|unaccompanied)\b", re.I)
_BETWEEN = re.compile(
    r"[,;.:!?()]|(?<![\w-])(?:and|with|for|plays?|leads?|carries|led by|featuring|features|over|in|"
    r"on|performed|accompanied|by|is|are|its?|goes|called|this|there|tempo|played|provide the|"
    r"accompaniment|behind|alongside|moves|stands|written|an?|the|at|of|to|listen|melody|overall|"
    r"recording|composition|instruments?|character|name|instrumental)(?![\w-])", re.I)  # fmt: skip
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHIFT = {"sharp": 1, "#": 1, "♯": 1, "flat": -1, "b": -1, "♭": -1, "": 0}


def pieces(text: str) -> list[str]:
    """The words of a caption between its small words, lower case; at least one piece.

    Finer than `match.phrases`: one piece is one fact, so facts do not blur into each other.
    """
    found = [piece.strip() for piece in _BETWEEN.split(text.lower())]
    return [piece for piece in found if len(piece) > 2] or [text.strip().lower()]


def read(texts: Sequence[str]) -> np.ndarray:
    """float32 [n, 61]: tempo (24, sums to 1 or 0), key (24, likewise), flags (13) of each text.

    Flags: a number of BPM, each of the five paces, key, major, minor, no drums, drums, alone, none
    of tempo and pace.
    """
    return (
        np.stack([_one(text) for text in texts]) if len(texts) else np.zeros((0, SIZE), np.float32)
    )


def bump(bpm: float, spread: float = SPREAD_OCTAVES) -> np.ndarray:
    """float32 [24]: a bell over `TEMPO_BPM` around `bpm`, in octaves; sums to 1."""
    bell = np.exp(-0.5 * (np.log2(TEMPO_BPM / bpm) / spread) ** 2)
    return (bell / bell.sum()).astype(np.float32)


def _one(text: str) -> np.ndarray:
    out = np.zeros(SIZE, np.float32)
    tempo, key, flags = out[:TEMPI], out[TEMPI : TEMPI + 24], out[TEMPI + 24 :]
    number = _BPM.search(text)
    if number:
        tempo[:] = bump(float(np.clip(float(number[1] or number[2]), 35, 240)))
        flags[0] = 1
    rest = text
    for i, pattern in enumerate(_PACES):  # "very slow" is read before "slow" and taken out
        if pattern.search(rest):
            flags[1 + i] = 1
            rest = pattern.sub(" ", rest)
            if not number:
                tempo[:] += bump(PACES[i][1], PACES[i][2])
    tempo /= max(float(tempo.sum()), 1e-6)
    stated = _KEY.search(text)
    if stated and not (stated[1] == "A" and stated.start() == 0):  # "A minor third ..."
        tonic = _LETTERS[stated[1]] + _SHIFT[stated[2] or stated[3] or ""]
        key[tonic % 12 + (12 if stated[4] == "minor" else 0)] = 1
        flags[6] = 1
    modes = {found.lower() for found in _MODE.findall(text)}
    flags[7], flags[8] = modes == {"major"}, modes == {"minor"}
    if _NO_DRUMS.search(text):
        flags[9] = 1
    elif _DRUMS.search(text):
        flags[10] = 1
    flags[11] = bool(_ALONE.search(text))
    flags[12] = not tempo.any()
    return out
