"""Pieces to render for clap-mini: a tune, its chords, a style, and what is true of the result.

A tune is a passage of a score in the cache (its notes, transposed, its key found from them) or is
made up in a known key. A style (`styles.py`) says who plays melody, chords, inner voices, bass
and drums, and how fast. `arrange` returns events for `scores.play` and the facts for captions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...models.tags.tempo_key import KEYS, MAJOR, MINOR
from ..common.scores import DRUM_CHANNEL, Events, Score
from .captions import Facts
from .styles import INSTRUMENTS, MOODS, PATTERNS, STYLES, Style

PIECE_S = 10.24
CLEAR_KEY, CLEAR_LEAD = 0.75, 0.1  # correlation, and lead over the best key of the other mode
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TRIADS = {  # mode -> chord root above the tonic -> semitones of the chord
    "major": {0: (0, 4, 7), 2: (0, 3, 7), 4: (0, 3, 7), 5: (0, 4, 7), 7: (0, 4, 7), 9: (0, 3, 7)},
    "minor": {0: (0, 3, 7), 3: (0, 4, 7), 5: (0, 3, 7), 7: (0, 4, 7), 8: (0, 4, 7), 10: (0, 4, 7)},
}
PROGRESSIONS = {
    "major": ((0, 5, 7, 0), (0, 9, 5, 7), (0, 7, 9, 5), (0, 2, 7, 0), (0, 5, 0, 7), (0, 4, 5, 7)),
    "minor": ((0, 5, 7, 0), (0, 8, 3, 10), (0, 10, 8, 7), (0, 3, 5, 7), (0, 5, 0, 7), (0, 8, 5, 7)),
}


@dataclass(frozen=True)
class Tune:
    """Notes float [n, 4]: beat, length in beats, MIDI pitch, voice (0 is the melody, on top).

    chords: (pitch classes, root first) of each bar. key: one of `KEYS`, or None where unclear.
    """

    notes: np.ndarray
    chords: list[tuple[int, ...]]
    key: str | None


def key_of(pitches: np.ndarray, lengths: np.ndarray) -> tuple[int, str, bool]:
    """(tonic, mode, is it clear): the profile that the sounding time of pitch classes fits."""
    chroma = np.bincount(pitches.astype(int) % 12, lengths, minlength=12)
    r = np.array([
        [np.corrcoef(chroma, np.roll(profile, tonic))[0, 1] for tonic in range(12)]
        for profile in (MAJOR, MINOR)
    ])  # fmt: skip
    if not np.isfinite(r).all():
        return 0, "major", False
    mode, tonic = np.unravel_index(int(r.argmax()), r.shape)
    lead = r.max() - r[1 - mode].max()
    return int(tonic), ("major", "minor")[mode], bool(r.max() > CLEAR_KEY and lead > CLEAR_LEAD)


def key_name(tonic: int, mode: str) -> str:
    return KEYS[tonic % 12 + (12 if mode == "minor" else 0)]


def invent(beats: int, count: int, rng: np.random.Generator) -> Tune:
    """A made-up tune of `count` beats in bars of `beats`."""
    mode = "major" if rng.random() < 0.5 else "minor"
    tonic = int(rng.integers(12))
    progression = PROGRESSIONS[mode][rng.integers(len(PROGRESSIONS[mode]))]
    bars = math.ceil(count / beats)
    roots = [progression[i % 4] for i in range(bars)]
    chords = [tuple((tonic + r + up) % 12 for up in TRIADS[mode][r]) for r in roots]
    scale = [(tonic + s) % 12 for s in SCALES[mode]]
    rhythms = ((1.0,) * beats, (0.5,) * (2 * beats), (1.5, 0.5, *((1.0,) * (beats - 2))),
               (2.0, *((1.0,) * (beats - 2))), (0.5, 0.5, 1.0, *((0.5,) * (2 * beats - 4))),
               (float(beats),))  # fmt: skip
    pair = [rhythms[rng.integers(len(rhythms))] for _ in range(2)]
    base = int(rng.integers(60, 74))
    now = base + (tonic - base) % 12
    notes = []
    for bar, chord in enumerate(chords):
        at = float(bar * beats)
        for i, length in enumerate(pair[bar % 2]):
            strong = i == 0 or rng.random() < 0.4
            allowed = chord if strong else scale
            near = [p for p in range(now - 7, now + 8) if p % 12 in allowed and abs(p - base) < 13]
            weight = np.exp(-np.abs(np.array(near) - now - rng.normal(0, 2)) / 2.5)
            now = int(rng.choice(near, p=weight / weight.sum()))
            notes.append((at, length, now, 0))
            at += length
    if rng.random() < 0.4:  # a second voice a third or sixth below
        for at, length, pitch, _ in list(notes):
            under = [p for p in range(int(pitch) - 9, int(pitch) - 2) if p % 12 in scale]
            notes.append((at, length, under[-1 if rng.random() < 0.7 else 0], 1))
    return Tune(np.array(sorted(notes), float), chords, key_name(tonic, mode))


def passage(score: Score, beats: int, count: int, rng: np.random.Generator) -> Tune:
    """A random passage of `count` beats of a score, transposed, a chord found for each bar."""
    notes = score.notes.astype(float)
    onsets = np.unique(notes[:, 0])
    a_quarter = len(onsets) / max(onsets[-1] - onsets[0], 1)
    unit = 2.0 ** round(math.log2(1.6 / max(a_quarter, 0.05)))  # beats hold one or two onsets
    unit = float(np.clip(unit, 0.25, 8))
    up = int(rng.integers(-6, 6))
    tonic, mode, clear_all = key_of(notes[:, 2] + up, notes[:, 1])
    notes = np.column_stack([notes[:, :2] / unit, notes[:, 2] + up, notes[:, 3]])
    last = (notes[:, 0] + notes[:, 1]).max()
    start = float(np.floor(rng.uniform(0, max(1, last - count)) / beats) * beats)
    notes = notes[(notes[:, 0] >= start) & (notes[:, 0] < start + count)]
    if len(notes) < 6:
        return passage(score, beats, count, rng)
    notes[:, 0] -= start
    parts = sorted(set(notes[:, 3]), key=lambda p: -notes[notes[:, 3] == p, 2].mean())
    notes[:, 3] = [parts.index(p) for p in notes[:, 3]]
    own, own_mode, clear = key_of(notes[:, 2], notes[:, 1])
    same = clear and clear_all and (own, own_mode) == (tonic, mode)
    chords, before = [], 0
    for bar in range(math.ceil(count / beats)):
        inside = (notes[:, 0] < (bar + 1) * beats) & (notes[:, 0] + notes[:, 1] > bar * beats)
        chroma = np.bincount(notes[inside, 2].astype(int) % 12, notes[inside, 1], minlength=12)
        weights = {
            r: sum(chroma[(tonic + r + s) % 12] for s in c) + 0.3 * chroma[(tonic + r) % 12]
            + 1e-3 * (r == before) + (0.15 if r in (0, 7) else 0.0) * chroma.sum()
            for r, c in TRIADS[mode].items()
        }  # fmt: skip
        before = max(weights, key=lambda r: weights[r])
        chords.append(tuple((tonic + before + s) % 12 for s in TRIADS[mode][before]))
    return Tune(notes[np.lexsort((notes[:, 2], notes[:, 0]))], chords,
                key_name(tonic, mode) if same else None)  # fmt: skip


def pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def arrange(
    score: Score | None, genre: str, rng: np.random.Generator
) -> tuple[Events, list[int], Facts]:
    """Events of `PIECE_S`, the program of each channel, and the facts.

    score: None makes a tune up. genre: a key of `STYLES`.
    """
    style = STYLES[genre]
    bpm = float(np.exp(rng.uniform(*np.log(style.bpm))))
    beat_s = 60 / bpm
    count = math.ceil(PIECE_S / beat_s) + 1
    tune = passage(score, style.beats, count, rng) if score else invent(style.beats, count, rng)
    lead = pick(style.lead, rng)
    solo = rng.random() < 0.12 and not style.bass
    backing = "" if solo else pick(style.backing, rng)
    bass = "" if solo or not style.bass or rng.random() < 0.15 else pick(style.bass, rng)
    drums = pick(style.drums, rng) if rng.random() < style.odds else ""
    inner = "" if solo else (backing if rng.random() < 0.6 else pick(style.backing, rng))
    names = [lead, inner or lead, backing or lead, bass or lead]
    programs = [int(rng.choice(INSTRUMENTS[name])) for name in names] + [0] * 5
    out = _Player(rng, beat_s, rng.uniform(0.75, 1.0) if genre not in ("percussion",) else 0.6)
    voices = int(tune.notes[:, 3].max()) + 1
    keep_inner = solo or not style.bass or rng.random() < 0.5
    has_inner = _voices(tune, out, keep_inner or voices == 1, lead, solo)
    if backing:
        _chords(tune, style, pick(style.chords, rng), out)
    if bass:
        _bass(tune, style, rng, out)
    if drums:
        _drums(drums, count, out)
    others = ([inner] if inner and has_inner else []) + [n for n in (backing, bass) if n]
    facts = Facts(
        lead=lead, backing=tuple(n for n in dict.fromkeys(others) if n != lead),
        genre=genre, mood=_mood(tune.key, bpm, style.energy, rng), bpm=round(bpm, 1),
        key=tune.key, drums=drums,
    )  # fmt: skip
    return sorted(e for e in out.events if e[0] < PIECE_S), programs, facts


class _Player:
    """Collects events in beats, with a player's unevenness."""

    def __init__(self, rng: np.random.Generator, beat_s: float, hold: float) -> None:
        self.rng, self.beat_s, self.hold = rng, beat_s, hold
        self.events: Events = []
        self.loud = {0: 104, 1: 78, 2: 70, 3: 92, DRUM_CHANNEL: int(rng.integers(75, 110))}

    def note(self, beat: float, length: float, channel: int, pitch: float, gain: float = 1) -> None:
        loud = self.loud[channel] * gain + self.rng.integers(-8, 9)
        velocity, key = int(np.clip(loud, 15, 127)), int(np.clip(pitch, 20, 110))
        start_s = max(0.0, beat * self.beat_s + self.rng.normal(0, 0.005))
        self.events.append((start_s, channel, key, velocity))
        end_s = start_s + max(0.06, length * self.beat_s * self.hold)
        self.events.append((end_s, channel, key, 0))


LOW_LEADS = {"cello", "trombone", "tuba", "bassoon", "distorted electric guitar",
             "overdriven guitar", "french horn", "clean electric guitar"}  # fmt: skip


def _voices(tune: Tune, out: _Player, inner: bool, lead: str, solo: bool) -> bool:
    """The melody on channel 0, the other voices on 1 where `inner`; whether any were."""
    down = -12 if lead in LOW_LEADS and out.rng.random() < 0.7 else 0
    top: dict[float, float] = {}
    for beat, _, pitch, voice in tune.notes:
        if voice == 0:
            top[beat] = max(top.get(beat, 0), pitch)
    any_inner = False
    for beat, length, pitch, voice in tune.notes:
        if voice == 0 and pitch == top[beat]:
            out.note(beat, length, 0, pitch + down)
        elif inner:
            out.note(beat, length, 0 if solo else 1, pitch + (down if solo else 0), 0.9)
            any_inner = True
    return any_inner


def _chords(tune: Tune, style: Style, way: str, out: _Player) -> None:
    """Chords on channel 2, a way of playing them for the whole piece."""
    beats = style.beats
    for bar, chord in enumerate(tune.chords):
        low = 52 if out.loud[2] else 48
        pitches = sorted(low + (pc - low) % 12 for pc in chord)
        start = bar * beats
        if way == "arpeggio":
            figure = [*pitches, pitches[0] + 12, pitches[2], pitches[1]]
            for i in range(2 * beats):
                out.note(start + i / 2, 0.6, 2, figure[i % len(figure)])
            continue
        hits = {
            "held": [(0.0, float(beats))],
            "strum": [(i / 2, 0.5) for i in range(2 * beats) if i % 2 == 0 or i in (3, 5, 7)],
            "offbeat": [(i + 0.5, 0.4) for i in range(beats)] if beats == 4
            else [(i, 0.5) for i in range(1, beats)],
            "stabs": [(0.0, 0.5), (1.5, 0.5)],
        }[way]  # fmt: skip
        for beat, length in hits:
            for i, pitch in enumerate(pitches):
                out.note(start + beat + 0.02 * i, length, 2, pitch)


def _bass(tune: Tune, style: Style, rng: np.random.Generator, out: _Player) -> None:
    """Roots, roots and fifths, or running eighths on channel 3."""
    way = int(rng.integers(3))
    for bar, chord in enumerate(tune.chords):
        root = 33 + (chord[0] - 33) % 12
        fifth = root + (chord[2] - chord[0]) % 12
        for beat in range(style.beats):
            if way == 0 and beat == 0:
                out.note(bar * style.beats, style.beats, 3, root)
            elif way == 1 and beat % 2 == 0:
                out.note(bar * style.beats + beat, 1.5, 3, root if beat == 0 else fifth)
            elif way == 2:
                for half in (0, 0.5):
                    out.note(bar * style.beats + beat + half, 0.5, 3, root)


def _drums(name: str, count: int, out: _Player) -> None:
    pattern = PATTERNS[name]
    for cycle in np.arange(0, count, pattern.beats):
        for beat, key, velocity in pattern.hits:
            out.note(float(cycle) + beat, 0.2, DRUM_CHANNEL, key, velocity / 100)


def _mood(key: str | None, bpm: float, energy: float, rng: np.random.Generator) -> str:
    stirred = energy + (bpm - 105) / 70
    level = "high" if stirred > 0.6 else "low" if stirred < -0.55 else "middle"
    return pick(MOODS[key.split()[-1] if key else "", level], rng)
