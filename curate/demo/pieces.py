"""The pieces of the demo set: which score, which instruments, how fast, and what is true of it.

Scores come from music21's corpus, by composers reserved for this set (no model of this project is
trained on them), mostly given to instruments they were not written for, so that the set covers many
sounds. `RESERVED` lists the composers; what a caption may say of a piece stands in its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

RESERVED = (
    "beethoven", "chopin", "corelli", "handel", "haydn", "joplin", "monteverdi", "mozart",
    "schubert", "schumann_clara", "schumann_robert", "verdi", "weber",
)  # fmt: skip

LICENCES = {
    "corelli/opus3no1/1grave.xml": "score: public domain; encoding: CC-BY, 2014",
}
DEFAULT_LICENCE = (
    "score: public domain; encoding: music21 corpus, redistributed by permission of the encoders"
)

# General MIDI programs, counted from 0, by the name that captions use.
GM = {
    "piano": 0, "electric piano": 4, "harpsichord": 6, "glockenspiel": 9, "music box": 10,
    "vibraphone": 11, "marimba": 12, "rock organ": 18, "church organ": 19, "accordion": 21,
    "nylon-string guitar": 24, "acoustic guitar": 25, "clean electric guitar": 27,
    "overdriven guitar": 29, "distorted electric guitar": 30, "double bass": 32,
    "electric bass": 33, "picked bass": 34, "slap bass": 36, "synth bass": 38, "violin": 40,
    "viola": 41, "cello": 42, "contrabass": 43, "pizzicato strings": 45, "harp": 46,
    "string orchestra": 48, "choir": 52, "trumpet": 56, "trombone": 57, "tuba": 58,
    "french horn": 60, "brass section": 61, "synth brass": 62, "soprano saxophone": 64,
    "alto saxophone": 65, "tenor saxophone": 66, "baritone saxophone": 67, "oboe": 68,
    "bassoon": 70, "clarinet": 71, "flute": 73, "pan flute": 75, "shakuhachi": 77,
    "square-wave synth": 80, "sawtooth synth": 81, "synth pad": 88, "warm pad": 89,
    "bowed pad": 92, "sitar": 104, "banjo": 105, "koto": 107,
}  # fmt: skip


class Note(NamedTuple):
    """One sounding note: onset and length in quarter notes, pitch as a MIDI number."""

    onset_ql: float
    length_ql: float
    midi: int


@dataclass(frozen=True)
class Voice:
    """One player: the part of the score it reads and the instrument it has.

    shift: semitones up. pick: "all" notes, or the "low" or "high" one of those that begin together.
    volume: MIDI channel volume 0..127.
    """

    part: int
    name: str
    shift: int = 0
    volume: int = 100
    pick: str = "all"

    @property
    def program(self) -> int:
        return GM[self.name]

    def pick_from(self, notes: tuple[Note, ...]) -> tuple[Note, ...]:
        if self.pick == "all":
            return notes
        best: dict[float, Note] = {}
        for note in notes:
            other = best.get(note.onset_ql, note)
            better = max if self.pick == "high" else min
            best[note.onset_ql] = better(note, other, key=lambda n: n.midi)
        return tuple(best.values())


@dataclass(frozen=True)
class Drums:
    """A pattern of `cycle_ql` quarter notes; a hit is (offset, General MIDI key, velocity)."""

    cycle_ql: float
    hits: tuple[tuple[float, int, int], ...]


def _every(
    step: float, cycle: float, key: int, velocity: int, first: float = 0.0
) -> list[tuple[float, int, int]]:
    """A hit each `step` of a cycle."""
    return [(first + i * step, key, velocity) for i in range(round((cycle - first) / step))]


ROCK = Drums(4, (*_every(0.5, 4, 42, 75), (0, 36, 112), (2, 36, 108), (2.5, 36, 95),
                 (1, 38, 110), (3, 38, 112)))  # fmt: skip
TECHNO = Drums(4, (*_every(1, 4, 36, 120), *_every(1, 4, 46, 85, 0.5), *_every(0.25, 4, 42, 50),
                   (1, 39, 100), (3, 39, 100)))  # fmt: skip
FUNK = Drums(4, (*_every(0.25, 4, 42, 60), (0, 36, 115), (0.75, 36, 90), (2.5, 36, 105),
                 (1, 38, 108), (1.75, 38, 45), (3, 38, 108), (3.5, 46, 80)))  # fmt: skip
SWING = Drums(2, ((0, 51, 85), (1, 51, 95), (1.667, 51, 70), (1, 44, 70)))
BRUSHES = Drums(2, ((0, 51, 50), (1, 51, 55), (1, 37, 50), (1.5, 51, 40)))
METAL = Drums(3, (*_every(0.25, 3, 36, 110), *_every(0.5, 3, 49, 70), (1.5, 38, 120)))
CHIP = Drums(2, ((0, 36, 100), (0.5, 42, 70), (1, 40, 100), (1.5, 42, 70), (1.75, 42, 60)))


@dataclass(frozen=True)
class Piece:
    """One piece and the truth about it.

    bpm: quarter notes a minute. tempo: the word for what is heard.
    keys, bars: key of each of the two passages, and the bar (from 0) at which it begins.
    sound: the instruments as a caption says them. genre: a word that "piece" or "music" can follow.
    """

    name: str
    work: str
    bpm: float
    tempo: str
    keys: tuple[str, str]
    mood: str
    genre: str
    sound: str
    voices: tuple[Voice, ...]
    drums: Drums | None = None
    drum_volume: int = 100
    bars: tuple[int, int] = (0, 20)

    @property
    def instruments(self) -> tuple[str, ...]:
        """Every instrument once, drums included."""
        names = [v.name for v in self.voices] + (["drums"] if self.drums else [])
        return tuple(dict.fromkeys(names))

    @property
    def composer(self) -> str:
        return self.work.split("/")[0]

    @property
    def licence(self) -> str:
        return LICENCES.get(self.work, DEFAULT_LICENCE)


def _all(name: str, parts: int, volume: int = 100) -> tuple[Voice, ...]:
    return tuple(Voice(i, name, volume=volume) for i in range(parts))


def _each(*names: str) -> tuple[Voice, ...]:
    return tuple(Voice(i, name) for i, name in enumerate(names))


def keys(first: str, second: str = "") -> tuple[str, str]:
    """The keys of both passages, which are mostly the same."""
    return first, second or first


PIECES: tuple[Piece, ...] = (
    Piece("ragtime-piano", "joplin/maple_leaf_rag.mxl", 88, "lively",
          keys("A-flat major"), "cheerful", "ragtime",
          "solo piano", _all("piano", 2), bars=(0, 18)),
    Piece("jazz-trio", "joplin/maple_leaf_rag.mxl", 92, "upbeat",
          keys("A-flat major"), "playful", "jazz",
          "piano, double bass and drums",
          (Voice(0, "piano"), Voice(1, "piano", volume=70), Voice(1, "double bass", pick="low")),
          SWING, 80, (51, 68)),
    Piece("music-box", "mozart/k545/movement1_exposition.mxl", 92, "gentle",
          keys("C major"), "innocent",
          "lullaby", "a music box", _all("music box", 2), bars=(0, 5)),
    Piece("string-quartet", "mozart/k155/movement2.mxl", 66, "slow",
          keys("A major", "E major"), "tender",
          "classical chamber", "a string quartet with violins, viola and cello",
          _each("violin", "violin", "viola", "cello"), bars=(0, 16)),
    Piece("wind-quartet", "mozart/k80/movement3.mxl", 116, "moderate",
          keys("G major", "C major"), "graceful",
          "classical chamber", "flute, oboe, clarinet and bassoon",
          _each("flute", "oboe", "clarinet", "bassoon"), bars=(0, 24)),
    Piece("sad-strings", "mozart/k156/movement4.mxl", 50, "slow", keys("E minor"), "sorrowful",
          "classical", "a string orchestra", _all("string orchestra", 4), bars=(0, 8)),
    Piece("techno", "mozart/k80/movement2.mxl", 132, "fast",
          keys("G major", "D major"), "energetic",
          "electronic dance", "sawtooth synthesizers, synth bass and drum machine",
          (Voice(0, "sawtooth synth", volume=85), Voice(1, "synth brass", volume=70),
           Voice(2, "sawtooth synth", volume=60), Voice(3, "synth bass", -12, 115)),
          TECHNO, 110, (0, 36)),
    Piece("harpsichord", "haydn/opus1no1/movement2.mxl", 112, "moderate",
          keys("B-flat major"), "elegant",
          "baroque", "solo harpsichord", _all("harpsichord", 4), bars=(0, 20)),
    Piece("brass-quartet", "haydn/opus1no1/movement5.mxl", 126, "fast",
          keys("B-flat major"), "festive",
          "brass ensemble", "trumpets, french horn and tuba",
          _each("trumpet", "trumpet", "french horn", "tuba"), bars=(0, 34)),
    Piece("flute-and-harp", "haydn/opus74no1/movement2.mxl", 58, "slow",
          keys("G major"), "peaceful",
          "classical", "flute and harp",
          _each("flute", "harp", "harp", "harp"), bars=(30, 150)),
    Piece("rock-band", "mozart/k155/movement1.mxl", 138, "fast",
          keys("D major", "A major"), "powerful", "rock",
          "distorted electric guitars, electric bass and drums",
          (Voice(0, "distorted electric guitar", -12), Voice(1, "overdriven guitar", -12, 80),
           Voice(2, "overdriven guitar", 0, 80), Voice(3, "picked bass", -12, 115)),
          ROCK, 115, (0, 30)),
    Piece("marimba", "mozart/k156/movement1.mxl", 112, "fast",
          keys("D major", "G major"), "playful", "percussion ensemble",
          "marimba and vibraphone",
          (Voice(0, "marimba"), Voice(1, "vibraphone", volume=80), Voice(2, "marimba"),
           Voice(3, "marimba")), bars=(0, 72)),
    Piece("church-organ", "monteverdi/madrigal.3.13.mxl", 66, "slow", keys("C major"), "solemn",
          "sacred", "church organ", _all("church organ", 5), bars=(0, 42)),
    Piece("piano-trio", "schumann_clara/opus17/movement3.xml", 60, "slow",
          keys("G major"), "lyrical",
          "romantic chamber", "violin, cello and piano",
          _each("violin", "cello", "piano", "piano"), bars=(5, 65)),
    Piece("electric-piano", "schumann_clara/polonaise_op1n2.mxl", 84, "relaxed",
          keys("C major", "F major"), "mellow",
          "lounge", "solo electric piano", _all("electric piano", 2), bars=(0, 16)),
    Piece("classical-guitar", "schumann_clara/polonaise_op1n4.mxl", 84, "moderate",
          keys("A minor"), "wistful",
          "classical guitar", "nylon-string guitar", _all("nylon-string guitar", 2),
          bars=(0, 16)),
    Piece("ambient", "schumann_robert/opus41no1/movement3.mxl", 60, "slow",
          keys("C major"), "dreamy",
          "ambient", "soft synthesizer pads",
          (Voice(0, "synth pad"), Voice(1, "warm pad"), Voice(2, "warm pad"),
           Voice(3, "bowed pad")), bars=(7, 21)),
    Piece("metal", "schumann_robert/opus41no1/movement2.mxl", 176, "fast", keys("A minor"),
          "aggressive", "heavy metal",
          "heavily distorted electric guitars, electric bass and pounding drums",
          (Voice(0, "distorted electric guitar", -12), Voice(1, "distorted electric guitar", -12),
           Voice(2, "overdriven guitar", -12), Voice(3, "picked bass", -12, 120)),
          METAL, 115, (14, 50)),
    Piece("oboe-and-piano", "schumann_robert/opus48no2.mxl", 50, "slow", keys("A major"), "longing",
          "romantic", "oboe and piano", _each("oboe", "piano", "piano"), bars=(0, 9)),
    Piece("sad-piano", "chopin/mazurka06-2.krn", 120, "moderate", keys("C-sharp minor"),
          "melancholic", "romantic", "solo piano", _all("piano", 2), bars=(24, 58)),
    Piece("pan-flute", "schubert/Lindenbaum.xml", 60, "slow", keys("E major"), "nostalgic", "folk",
          "pan flute and acoustic guitar",
          (Voice(0, "pan flute", 12, 110), Voice(1, "acoustic guitar", volume=85),
           Voice(2, "acoustic guitar", volume=85)), bars=(8, 16)),
    Piece("sax-ballad", "handel/rinaldo/Lascia_chio_pianga.mxl", 66, "slow",
          keys("D major"), "sultry",
          "smooth jazz", "alto saxophone, electric piano, double bass and soft drums",
          (Voice(0, "alto saxophone"), Voice(1, "electric piano", volume=80),
           Voice(2, "double bass", pick="low")), BRUSHES, 60, (12, 28)),
    Piece("trio-sonata", "corelli/opus3no1/1grave.xml", 60, "slow",
          keys("F major"), "dignified", "baroque",
          "two violins, cello and harpsichord",
          (Voice(0, "violin"), Voice(1, "violin"), Voice(2, "cello"),
           Voice(2, "harpsichord", 12, 90)), bars=(0, 11)),
    Piece("accordion-waltz", "verdi/laDonnaEMobile.mxl", 80, "lively",
          keys("B-flat major"), "cheerful", "waltz",
          "accordion and double bass",
          (Voice(0, "accordion", volume=110), Voice(1, "accordion", volume=75),
           Voice(1, "double bass", pick="low")), bars=(0, 17)),
    Piece("choir", "monteverdi/madrigal.3.1.mxl", 84, "slow",
          keys("G minor"), "solemn", "renaissance choral",
          "an a cappella choir", _all("choir", 5), bars=(30, 66)),
    Piece("chiptune", "monteverdi/madrigal.3.8.mxl", 160, "fast", keys("D minor"), "adventurous",
          "8-bit video game", "square-wave synthesizers and electronic drums",
          (*_all("square-wave synth", 4, volume=80), Voice(4, "sawtooth synth", volume=85)),
          CHIP, 100, (8, 32)),
    Piece("sax-quartet", "monteverdi/madrigal.3.15.mxl", 76, "slow", keys("D minor"), "moody",
          "light jazz", "a quartet of saxophones",
          _each("soprano saxophone", "alto saxophone", "alto saxophone", "tenor saxophone",
                "baritone saxophone"), bars=(12, 28)),
    Piece("funk", "mozart/k80/movement4.mxl", 108, "moderate", keys("G major"), "groovy", "funk",
          "slap bass, clean electric guitar, organ, brass and drums",
          (Voice(0, "brass section", volume=85), Voice(1, "clean electric guitar"),
           Voice(2, "rock organ", volume=70), Voice(3, "slap bass", -12, 120)),
          FUNK, 110, (0, 58)),
    Piece("bluegrass", "mozart/k155/movement3.mxl", 124, "fast", keys("D major"), "cheerful",
          "bluegrass", "fiddle, banjo, acoustic guitar and double bass",
          (Voice(0, "violin"), Voice(1, "banjo", volume=110), Voice(2, "acoustic guitar"),
           Voice(3, "double bass", -12, 115)), bars=(0, 74)),
    Piece("pizzicato", "haydn/opus1no1/movement4.mxl", 126, "moderate",
          keys("B-flat major"), "whimsical",
          "light classical", "pizzicato strings and glockenspiel",
          (Voice(0, "glockenspiel", 12, 80), Voice(0, "pizzicato strings"),
           Voice(1, "pizzicato strings"), Voice(2, "pizzicato strings"),
           Voice(3, "pizzicato strings")), bars=(0, 22)),
    Piece("koto", "monteverdi/madrigal.3.14.mxl", 80, "slow",
          keys("G minor", "D minor"), "meditative",
          "Japanese traditional", "shakuhachi and koto",
          (Voice(0, "shakuhachi"), Voice(1, "koto"), Voice(2, "koto"), Voice(3, "koto"),
           Voice(4, "koto")), bars=(0, 36)),
    Piece("orchestra", "haydn/opus74no1/movement3.mxl", 138, "fast", keys("C major"), "majestic",
          "orchestral", "a full orchestra with strings, horns and trumpets",
          (Voice(0, "string orchestra"), Voice(0, "trumpet", volume=60),
           Voice(1, "string orchestra"), Voice(1, "french horn", -12, 80), Voice(2, "french horn"),
           Voice(3, "contrabass"), Voice(3, "trombone", volume=70)), bars=(0, 42)),
)  # fmt: skip
