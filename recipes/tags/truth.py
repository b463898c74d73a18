"""Which of the tagger's words are true of a clip, as far as it is known: yes, no, or unknown.

Rendered pieces: the instruments, drums and tempo of the arrangement, and its style. Real tracks:
what title, genre tag and documentation of the package say, which is little. A word between yes and
no (a viola for "violin", an overdriven guitar's "rock" in a blues) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..clap.styles import INSTRUMENTS as SOUNDS
from ..clap.styles import STYLES

GUITARS = tuple(name for name in SOUNDS if name.endswith("guitar"))
SYNTHS = tuple(n for n in SOUNDS if "synth" in n and n != "synth strings")
ELECTRIC = {*SYNTHS, "synth strings", "electric piano", "rock organ", "electric bass", "slap bass",
            "fretless bass", *GUITARS} - {"nylon-string guitar", "acoustic guitar"}  # fmt: skip

# word -> (instruments that it names, instruments that it may or may not name)
INSTRUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "guitar": (GUITARS, ("electric bass", "fretless bass", "slap bass", "banjo", "koto")),
    "piano": (("piano",), ("electric piano",)),
    "violin": (("violin", "fiddle"), ("viola", "string orchestra", "synth strings",
                                      "pizzicato strings")),
    "cello": (("cello",), ("viola", "string orchestra", "double bass")),
    "strings": (("violin", "fiddle", "viola", "cello", "string orchestra", "pizzicato strings"),
                ("synth strings", "double bass", "harp")),
    "flute": (("flute", "recorder", "pan flute", "shakuhachi"), ("ocarina",)),
    "harpsichord": (("harpsichord",), ()),
    "harp": (("harp",), ()),
    "sitar": (("sitar",), ()),
    "choir": (("choir",), ()),
    "synth": (SYNTHS, ("synth strings", "electric piano", "rock organ")),
}  # fmt: skip

# word -> (styles that it names, styles that it may or may not name)
GENRES: dict[str, tuple[str, str]] = {
    "rock": ("rock, metal, punk", "blues, country, pop, funk, reggae, synthwave"),
    "classic rock": ("rock", "blues, metal, punk, funk, reggae"),
    "hard rock": ("rock, metal", "punk, blues"),
    "metal": ("metal", "rock, punk"),
    "heavy metal": ("metal", "rock, punk"),
    "punk": ("punk", "rock, metal"),
    "pop": ("pop", "house, synthwave, rock, folk, country, funk, reggae, smooth jazz, hip-hop"),
    "electronic": ("techno, house, drum and bass, synthwave, chiptune", "ambient, hip-hop, pop"),
    "electronica": ("techno, house, drum and bass, synthwave", "ambient, hip-hop, pop, chiptune"),
    "electro": ("techno, house, synthwave", "drum and bass, chiptune, hip-hop, pop, ambient"),
    "techno": ("techno", "house, drum and bass, synthwave, chiptune"),
    "house": ("house", "techno, drum and bass"),
    "dance": ("techno, house, drum and bass", "synthwave, chiptune, pop, funk, hip-hop, salsa"),
    "jazz": ("jazz, smooth jazz", "bossa nova, blues, funk, salsa"),
    "blues": ("blues", "jazz, rock"),
    "folk": ("folk, celtic", "country, renaissance, guitar solo, waltz"),
    "country": ("country", "folk, celtic, blues"),
    "funk": ("funk", "house, reggae, hip-hop, pop"),
    "hip-hop": ("hip-hop", "funk, drum and bass, reggae"),
    "classical": ("baroque, chamber, orchestral, piano solo",
                  "guitar solo, sacred, renaissance, film score, waltz, circus, lullaby, new age,"
                  " brass band, celtic"),
    "ambient": ("ambient", "new age, film score, synthwave, sacred, drum and bass, lullaby"),
    "new age": ("new age", "ambient, lullaby, japanese, film score, folk, celtic, sacred"),
    "indian": ("indian", "japanese"),
}  # fmt: skip
GENRES["classic"] = GENRES["classical"]

VOICES = (
    "vocal", "vocals", "singing", "voice", "female", "male", "woman", "man", "female vocal",
    "male vocal", "female voice", "male voice", "female vocalists", "female vocalist",
    "male vocalists",
)  # fmt: skip
NO_VOICES = ("no vocals", "no vocal", "no voice", "instrumental")
SLOW_BPM, FAST_BPM = (80.0, 100.0), (120.0, 132.0)  # surely so from here, surely not from there
QUIET_DRUMS = ("timpani", "brushes", "tribal", "waltz")  # "drums", but is there "a beat"?

METAL = ("metal", "heavy metal")
NOT_METAL = ("ambient", "techno", "house", "jazz", "folk", "country", "classical", "classic",
             "indian", "new age", "harpsichord", "flute", "harp", "sitar", "violin", "cello",
             "choir", "easy listening", "chillout", "mellow", "quiet", "soft", "hip-hop", "blues",
             "funk", "opera", "acoustic")  # fmt: skip
NOT_ELECTRONIC = ("country", "blues", "folk", "harpsichord", "sitar", "opera", "acoustic",
                  "classical", "classic", "indian")  # fmt: skip


def of_piece(
    lead: str, backing: Sequence[str], drums: str, bpm: float, style: str
) -> dict[str, bool]:
    """What is known of an arrangement of `clap/arrange.py`."""
    played = {lead, *backing}
    known: dict[str, bool] = {}
    for word, (named, unsure) in INSTRUMENTS.items():
        if played & set(named):
            known[word] = True
        elif not played & set(unsure):
            known[word] = False
    known["choral"] = known["choir"]
    known["drums"] = drums != ""
    if drums not in QUIET_DRUMS:
        known["beat"] = known["beats"] = drums != ""
    if not SLOW_BPM[0] < bpm < SLOW_BPM[1]:
        known["slow"] = bpm <= SLOW_BPM[0]
    if not FAST_BPM[0] < bpm < FAST_BPM[1]:
        known["fast"] = bpm >= FAST_BPM[1]
    if not played & ELECTRIC and not drums:
        known["acoustic"] = True
    elif played & {*SYNTHS, "distorted electric guitar", "overdriven guitar"}:
        known["acoustic"] = False
    for word, (named_by, maybe) in GENRES.items():
        if style in _styles(named_by):
            known[word] = True
        elif style not in _styles(maybe):
            known[word] = False
    if known["choir"]:  # that nobody sings is true of all the rest: it would teach nothing
        return known | dict.fromkeys(NO_VOICES, False)
    return known | dict.fromkeys((*VOICES, "opera"), False)


def styles_with(word: str) -> tuple[str, ...]:
    """The styles that may have an instrument of this word."""
    named = set(INSTRUMENTS[word][0])
    return tuple(name for name, s in STYLES.items() if named & {*s.lead, *s.backing})


def of_track(package: str, name: str) -> dict[str, bool]:
    """What is known of a real track of a package; name: its folder and file."""
    known: dict[str, bool] = {}
    if package == "fretsonfire-songs-muldjord" or "Metal madness" in name:
        known |= dict.fromkeys(METAL, True) | dict.fromkeys(NOT_METAL, False)
    if package.startswith("fretsonfire") and name.endswith("guitar.ogg"):
        known["guitar"] = True
    if package in ("nexuiz-music", "singularity-music"):
        known |= {"electronic": True} | dict.fromkeys(NOT_ELECTRONIC, False)
    return known


def _styles(text: str) -> set[str]:
    names = {part.strip() for part in text.split(",")}
    if unknown := names - set(STYLES):
        raise ValueError(f"no such styles: {sorted(unknown)}")
    return names
