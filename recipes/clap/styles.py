"""The sounds and styles of clap-mini's rendered music: instruments, drum patterns, genres."""

from __future__ import annotations

from dataclasses import dataclass

# name in captions -> General MIDI programs, counted from 0
INSTRUMENTS: dict[str, tuple[int, ...]] = {
    "piano": (0, 1), "electric piano": (4, 5), "harpsichord": (6,), "celesta": (8,),
    "glockenspiel": (9,), "music box": (10,), "vibraphone": (11,), "marimba": (12,),
    "xylophone": (13,), "rock organ": (16, 17, 18), "church organ": (19,), "accordion": (21,),
    "harmonica": (22,), "nylon-string guitar": (24,), "acoustic guitar": (25,),
    "jazz guitar": (26,), "clean electric guitar": (27,), "muted electric guitar": (28,),
    "overdriven guitar": (29,), "distorted electric guitar": (30,), "double bass": (32,),
    "electric bass": (33, 34), "fretless bass": (35,), "slap bass": (36, 37),
    "synth bass": (38, 39), "violin": (40,), "viola": (41,), "cello": (42,),
    "pizzicato strings": (45,), "harp": (46,), "string orchestra": (48, 49),
    "synth strings": (50, 51), "choir": (52, 53), "trumpet": (56,), "trombone": (57,),
    "tuba": (58,), "french horn": (60,), "brass section": (61,), "synth brass": (62, 63),
    "saxophone": (64, 65, 66, 67), "oboe": (68, 69), "bassoon": (70,), "clarinet": (71,),
    "flute": (72, 73), "recorder": (74,), "pan flute": (75,), "shakuhachi": (77,),
    "ocarina": (79,), "square-wave synth": (80,), "sawtooth synth": (81,), "synth lead": (83, 87),
    "synth pad": (88, 89, 90, 92, 94, 95), "sitar": (104,), "banjo": (105,), "koto": (107,),
    "kalimba": (108,), "bagpipe": (109,), "fiddle": (110,), "steel drums": (114,),
}  # fmt: skip


@dataclass(frozen=True)
class Pattern:
    """Drums: words for them, length in beats, hits (beat, General MIDI key, velocity)."""

    words: tuple[str, ...]
    beats: float
    hits: tuple[tuple[float, int, int], ...]


def _run(step: float, beats: float, key: int, velocity: int, first: float = 0.0):  # type: ignore[no-untyped-def]
    return [(first + i * step, key, velocity) for i in range(round((beats - first) / step))]


def _hits(text: str, beats: float = 4) -> list[tuple[float, int, int]]:
    """`k` kick, `s` snare, `r` rim, `c` clap, `o` open hat: `"k 0 2.5 s 1 3"` by beat."""
    keys = {"k": 36, "s": 38, "r": 37, "c": 39, "o": 46, "t": 45, "b": 51, "x": 49}
    hits, key = [], 36
    for word in text.split():
        if word in keys:
            key = keys[word]
        else:
            hits.append((float(word), key, 108 if key in (36, 38, 39) else 85))
    return hits


PATTERNS: dict[str, Pattern] = {
    "rock": Pattern(("a rock drum beat", "a drum kit", "driving drums"), 4,
                    (*_run(0.5, 4, 42, 75), *_hits("k 0 2 2.5 s 1 3"))),
    "half-time": Pattern(("a slow heavy drum beat", "a half-time drum beat", "drums"), 4,
                         (*_run(0.5, 4, 42, 70), *_hits("k 0 1.5 s 2"))),
    "punk": Pattern(("fast pounding drums", "a fast drum beat"), 2,
                    (*_run(0.5, 2, 46, 80), *_hits("k 0 1 s 0.5 1.5"))),
    "metal": Pattern(("pounding double-bass drums", "heavy drums", "blast beats"), 4,
                     (*_run(0.25, 4, 36, 110), *_run(1, 4, 49, 70), *_hits("s 1 3"))),
    "house": Pattern(("a four-on-the-floor beat", "a drum machine", "a steady dance beat"), 4,
                     (*_run(1, 4, 36, 120), *_run(1, 4, 46, 85, 0.5), *_hits("c 1 3"))),
    "techno": Pattern(("a pounding drum machine", "a techno beat", "electronic drums"), 4,
                      (*_run(1, 4, 36, 122), *_run(0.25, 4, 42, 60), *_hits("c 1 3 o 2.5"))),
    "break": Pattern(("a fast breakbeat", "breakbeat drums"), 4,
                     (*_run(0.5, 4, 42, 80), *_hits("k 0 0.5 2.75 s 1 3 1.75"))),
    "hip-hop": Pattern(("a hip-hop beat", "a boom-bap beat", "laid-back drums"), 4,
                       (*_run(0.5, 4, 42, 65), *_hits("k 0 1.75 2.5 s 1 3"))),
    "swing": Pattern(("swinging drums", "a ride cymbal", "a swing beat"), 2,
                     (*_hits("b 0 1 1.667"), (1.0, 44, 70))),
    "brushes": Pattern(("soft brushed drums", "gentle drums", "brushes"), 2,
                       ((0, 51, 50), (1, 51, 55), (1, 37, 50), (1.5, 51, 40))),
    "shuffle": Pattern(("a shuffle beat", "shuffling drums"), 2,
                       (*_run(0.6667, 2, 42, 75), *_hits("k 0 s 1"), (1.667, 36, 80))),
    "funk": Pattern(("funky drums", "a tight funk beat", "a syncopated drum groove"), 4,
                    (*_run(0.25, 4, 42, 60), *_hits("k 0 0.75 2.5 s 1 3 o 3.5"))),
    "bossa": Pattern(("latin percussion", "a bossa nova beat"), 4,
                     (*_run(0.5, 4, 42, 60), *_hits("k 0 1.5 2 3.5 r 0 1.5 3"), (1, 70, 60))),
    "reggae": Pattern(("a one-drop reggae beat", "laid-back reggae drums"), 4,
                      (*_run(0.5, 4, 42, 65), *_hits("k 2 r 2"), (3.5, 46, 70))),
    "latin": Pattern(("congas and timbales", "latin drums", "hand percussion"), 4,
                     (*_run(0.5, 4, 70, 70), *_hits("k 0 2"), (1, 62, 95), (1.5, 63, 95),
                      (3, 62, 95), (3.5, 63, 90), (0, 56, 70), (2, 56, 70))),
    "march": Pattern(("marching snare drums", "a military drum", "snare and bass drum"), 2,
                     ((0, 36, 105), (0, 38, 70), (0.5, 38, 60), (0.75, 38, 60), (1, 38, 100),
                      (1.5, 38, 60))),
    "waltz": Pattern(("a waltz beat on drums", "light drums"), 3,
                     ((0, 36, 95), (1, 42, 75), (2, 42, 75), (1, 38, 55), (2, 38, 55))),
    "chip": Pattern(("electronic drums", "simple 8-bit drums", "noise-channel drums"), 2,
                    ((0, 36, 100), (0.5, 42, 70), (1, 40, 100), (1.5, 42, 70), (1.75, 42, 60))),
    "tribal": Pattern(("tribal drums", "tom-toms", "hand drums"), 4,
                      ((0, 41, 110), (0.75, 45, 90), (1.5, 47, 90), (2, 41, 105), (3, 45, 95),
                       (3.5, 48, 85))),
    "timpani": Pattern(("timpani and cymbals", "orchestral percussion", "epic drums"), 4,
                       ((0, 41, 115), (0, 49, 70), (2, 41, 100), (3, 43, 95), (3.5, 43, 95))),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A genre: the words for it, who plays what, how fast.

    backing: instruments for chords and inner voices. bass: may be empty. drums: names of
    `PATTERNS`; odds: how often there are drums. chords: how chords are played (held, strum,
    arpeggio, offbeat, stabs). energy: -1..1, for the mood. beats: of a bar.
    """

    words: tuple[str, ...]
    lead: tuple[str, ...]
    backing: tuple[str, ...]
    bass: tuple[str, ...]
    drums: tuple[str, ...]
    odds: float
    chords: tuple[str, ...]
    bpm: tuple[float, float]
    energy: float
    beats: int = 4


def _style(words: str, lead: str, backing: str, bass: str, drums: str, odds: float,
           chords: str, bpm: tuple[float, float], energy: float, beats: int = 4) -> Style:  # fmt: skip
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Style(split(words), split(lead), split(backing), split(bass), split(drums), odds,
                 split(chords), bpm, energy, beats)  # fmt: skip


GUITARS = "distorted electric guitar, overdriven guitar"
STYLES: dict[str, Style] = {
    "rock": _style("rock, classic rock", f"{GUITARS}, rock organ, clean electric guitar",
                   f"{GUITARS}, rock organ, piano", "electric bass", "rock, half-time", 0.92,
                   "strum, held", (90, 160), 0.6),
    "metal": _style("heavy metal, metal, death metal", "distorted electric guitar, overdriven guitar",
                    GUITARS, "electric bass", "metal, punk, half-time", 0.9, "strum, stabs",
                    (100, 210), 1.0),
    "punk": _style("punk rock, punk", GUITARS, GUITARS, "electric bass", "punk", 0.93, "strum",
                   (150, 205), 0.9),
    "pop": _style("pop, upbeat pop", "piano, synth lead, clean electric guitar, synth strings",
                  "acoustic guitar, electric piano, synth pad, clean electric guitar",
                  "electric bass, synth bass", "rock, house", 0.85, "strum, held, arpeggio",
                  (85, 135), 0.3),
    "techno": _style("techno, electronic dance, trance",
                     "sawtooth synth, synth lead, square-wave synth", "sawtooth synth, synth pad",
                     "synth bass", "techno, house", 0.95, "stabs, arpeggio", (124, 150), 0.8),
    "house": _style("house, disco house", "synth brass, electric piano, piano, synth lead",
                    "synth strings, piano, synth pad", "synth bass, slap bass", "house", 0.95,
                    "offbeat, stabs", (116, 130), 0.6),
    "drum and bass": _style("drum and bass, jungle", "synth lead, sawtooth synth, synth pad",
                            "synth pad, synth strings", "synth bass", "break", 0.95, "held",
                            (160, 180), 0.9),
    "synthwave": _style("synthwave, 80s synth-pop", "synth lead, sawtooth synth, synth brass",
                        "synth pad, synth strings", "synth bass", "rock, house", 0.85, "arpeggio",
                        (80, 120), 0.3),
    "ambient": _style("ambient, atmospheric electronic", "synth pad, choir, synth strings",
                      "synth pad, synth strings", "", "", 0.0, "held", (50, 80), -0.9),
    "chiptune": _style("8-bit video game, chiptune", "square-wave synth", "square-wave synth, "
                       "sawtooth synth", "synth bass, square-wave synth", "chip", 0.65, "arpeggio",
                       (110, 180), 0.5),
    "jazz": _style("jazz, swing", "saxophone, trumpet, piano, jazz guitar, vibraphone, clarinet",
                   "piano, jazz guitar", "double bass", "swing", 0.8, "stabs, offbeat", (90, 200),
                   0.2),
    "smooth jazz": _style("smooth jazz, lounge", "saxophone, electric piano, flute, vibraphone",
                          "electric piano, jazz guitar", "double bass, fretless bass", "brushes",
                          0.75, "held", (60, 100), -0.4),
    "funk": _style("funk, disco", "clean electric guitar, brass section, rock organ, saxophone",
                   "clean electric guitar, rock organ, muted electric guitar", "slap bass",
                   "funk", 0.93, "offbeat, stabs", (95, 122), 0.5),
    "blues": _style("blues, slow blues", "harmonica, overdriven guitar, clean electric guitar, "
                    "piano", "piano, rock organ, acoustic guitar", "electric bass, double bass",
                    "shuffle", 0.75, "strum, stabs", (60, 120), -0.1),
    "country": _style("country, bluegrass", "banjo, fiddle, acoustic guitar, harmonica",
                      "acoustic guitar, banjo", "double bass", "shuffle, brushes", 0.3,
                      "strum, arpeggio", (95, 150), 0.4),
    "folk": _style("folk, acoustic folk", "acoustic guitar, nylon-string guitar, flute, "
                   "accordion, recorder, pan flute", "acoustic guitar, nylon-string guitar",
                   "double bass", "", 0.0, "arpeggio, strum", (60, 120), -0.3),
    "celtic": _style("celtic, irish folk", "fiddle, bagpipe, recorder, flute, accordion",
                     "harp, acoustic guitar", "", "tribal", 0.3, "strum, arpeggio", (90, 150), 0.4),
    "reggae": _style("reggae, dub", "rock organ, trombone, clean electric guitar, saxophone",
                     "clean electric guitar, rock organ", "electric bass", "reggae", 0.9,
                     "offbeat", (65, 95), 0.0),
    "bossa nova": _style("bossa nova, latin jazz", "nylon-string guitar, flute, saxophone, piano",
                         "nylon-string guitar, electric piano", "double bass", "bossa", 0.8,
                         "offbeat", (100, 150), -0.1),
    "salsa": _style("salsa, latin dance", "trumpet, piano, brass section, steel drums",
                    "piano, brass section", "electric bass", "latin", 0.95, "stabs, offbeat",
                    (90, 125), 0.6),
    "hip-hop": _style("hip-hop, lo-fi hip-hop", "electric piano, vibraphone, synth lead, flute",
                      "electric piano, synth strings", "synth bass, electric bass", "hip-hop", 0.93,
                      "held, stabs", (70, 100), 0.0),
    "baroque": _style("baroque", "harpsichord, violin, oboe, recorder, church organ, trumpet",
                      "harpsichord, cello, church organ", "cello, bassoon", "", 0.0, "arpeggio, "
                      "held", (60, 140), 0.0),
    "chamber": _style("classical chamber, classical", "violin, cello, flute, oboe, clarinet, viola",
                      "viola, cello, piano, bassoon, french horn", "cello, bassoon", "", 0.0,
                      "held, arpeggio", (50, 140), -0.1),
    "orchestral": _style("orchestral, symphonic", "string orchestra, trumpet, french horn, oboe",
                         "string orchestra, french horn, brass section", "tuba, double bass",
                         "timpani", 0.4, "held, stabs", (60, 150), 0.5),
    "film score": _style("cinematic film score, epic cinematic", "string orchestra, french horn, "
                         "choir, cello", "string orchestra, choir, brass section", "double bass",
                         "timpani, tribal", 0.6, "held, stabs", (60, 130), 0.4),
    "piano solo": _style("romantic piano, classical piano", "piano", "piano", "", "", 0.0,
                         "arpeggio, held", (45, 140), -0.3),
    "guitar solo": _style("classical guitar, flamenco guitar", "nylon-string guitar",
                          "nylon-string guitar", "", "", 0.0, "arpeggio, strum", (55, 130), -0.2),
    "sacred": _style("sacred, church, gospel choral", "church organ, choir", "church organ, choir", "",
                     "", 0.0, "held", (50, 90), -0.5),
    "renaissance": _style("renaissance, medieval", "recorder, choir, viola, bagpipe, harp",
                          "recorder, choir, harp, viola", "", "tribal", 0.2, "held", (55, 120), -0.2),
    "brass band": _style("brass band, marching band", "trumpet, brass section, trombone",
                         "french horn, trombone, brass section", "tuba", "march", 0.8,
                         "offbeat, held", (95, 135), 0.6),
    "new age": _style("new age, meditation", "pan flute, harp, synth pad, kalimba, piano",
                      "synth pad, harp", "", "", 0.0, "arpeggio, held", (50, 85), -0.8),
    "lullaby": _style("lullaby, children's", "music box, celesta, glockenspiel, kalimba",
                      "music box, celesta, harp", "", "", 0.0, "arpeggio", (60, 100), -0.7),
    "waltz": _style("waltz, musette", "accordion, violin, piano, clarinet", "accordion, string "
                    "orchestra", "double bass, tuba", "waltz", 0.4, "offbeat", (90, 190), 0.1, 3),
    "indian": _style("indian, raga", "sitar", "sitar, synth pad", "", "tribal, latin", 0.5, "held",
                     (60, 120), -0.1),
    "japanese": _style("Japanese traditional, Asian", "koto, shakuhachi", "koto", "", "tribal", 0.2,
                       "arpeggio, held", (50, 100), -0.4),
    "percussion": _style("percussion ensemble, mallet percussion", "marimba, xylophone, vibraphone",
                         "marimba, vibraphone, steel drums", "", "latin, tribal", 0.35,
                         "arpeggio, stabs", (85, 150), 0.4),
    "circus": _style("light comedy, whimsical", "pizzicato strings, bassoon, xylophone, clarinet, "
                     "ocarina", "pizzicato strings, tuba", "tuba, bassoon", "march, brushes", 0.3,
                     "offbeat, stabs", (95, 150), 0.3),
}  # fmt: skip

# (mode, energy, pace) -> moods: what a listener may feel; mode "" is where it is not known
MOODS: dict[tuple[str, str], tuple[str, ...]] = {
    ("major", "high"): ("cheerful", "energetic", "triumphant", "joyful", "uplifting"),
    ("major", "middle"): ("happy", "playful", "bright", "lively", "warm"),
    ("major", "low"): ("peaceful", "tender", "calm", "gentle", "serene"),
    ("minor", "high"): ("aggressive", "tense", "intense", "dark", "dramatic"),
    ("minor", "middle"): ("moody", "mysterious", "restless", "serious", "brooding"),
    ("minor", "low"): ("sad", "melancholic", "sorrowful", "wistful", "mournful"),
    ("", "high"): ("energetic", "powerful", "intense", "driving"),
    ("", "middle"): ("flowing", "relaxed", "easygoing"),
    ("", "low"): ("calm", "quiet", "dreamy"),
}
