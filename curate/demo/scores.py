"""Scores for the demo set: read by music21, given to General MIDI instruments, rendered to sound.

A score is read once into plain notes (`read_score`); a `Piece` says which instrument plays which
part, how fast, and with which drums; `render` plays a passage of it through a soundfont. Nothing
random happens here but a little of a player's unevenness, which follows from a seed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import ConfigError
from .pieces import Note, Piece

RATE_HZ = 44_100
RMS_DBFS = -20.0
PEAK_DBFS = -1.5
FADE_S = 0.4
DRUM_CHANNEL = 9
NEEDS = 'the demo set needs the extra `demo`: pip install "qamdt[demo]"'


@dataclass(frozen=True)
class Score:
    """The notes of each part, and where the bars lie: (start, length) in quarter notes."""

    parts: tuple[tuple[Note, ...], ...]
    bars: tuple[tuple[float, float], ...]

    @property
    def length_ql(self) -> float:
        start, length = self.bars[-1]
        return start + length


def corpus_folder() -> Path:
    """Where music21 keeps its scores. Raises ConfigError when music21 is not installed."""
    try:
        import music21
    except ImportError as error:
        raise ConfigError(NEEDS) from error
    return Path(music21.__file__).parent / "corpus"


def soundfont() -> Path:
    """TimGM6mb, the General MIDI soundfont inside pretty_midi (GPL-2; used here, never shipped)."""
    try:
        import pretty_midi
    except ImportError as error:
        raise ConfigError(NEEDS) from error
    path = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if not path.is_file():
        raise ConfigError(f"{path} is not there: pretty_midi 0.2.10 or 0.2.11 brings it")
    return path


def read_score(work: str) -> Score:
    """The notes of one score of music21's corpus, e.g. `mozart/k155/movement2.mxl`.

    Ties are joined, grace notes left out, repeats not played. Nothing is cached on disk.
    """
    from music21 import converter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overfull bars in old encodings; music21 mends them
        score: Any = converter.parseFile(
            str(corpus_folder() / work), forceSource=True, storePickle=False
        )
    parts = list(score.parts)
    bars = [
        (float(m.offset), float(m.duration.quarterLength))
        for m in parts[0].getElementsByClass("Measure")
    ]
    return Score(
        tuple(tuple(_notes(part)) for part in parts), tuple((a, n) for a, n in bars if n > 0)
    )


def _notes(part: Any) -> list[Note]:
    """All notes of a part by onset; tied ones are one note."""
    notes: list[Note] = []
    tied: dict[int, int] = {}  # pitch -> place in `notes` of the note a tie may prolong
    for bar in part.getElementsByClass("Measure"):
        for element in bar.recurse().notes:
            if element.duration.isGrace or "ChordSymbol" in element.classes:
                continue
            onset = float(bar.offset + element.getOffsetInHierarchy(bar))
            length = float(element.duration.quarterLength)
            for note in element.notes if element.isChord else (element,):
                if not hasattr(note, "pitch"):
                    continue
                midi, tie = int(note.pitch.midi), note.tie.type if note.tie else None
                if tie in ("continue", "stop") and midi in tied:
                    first = notes[tied[midi]]
                    notes[tied[midi]] = first._replace(length_ql=onset + length - first.onset_ql)
                else:
                    notes.append(Note(onset, length, midi))
                    tied[midi] = len(notes) - 1
                if tie not in ("start", "continue"):
                    tied.pop(midi, None)
    return sorted(notes)


def passage_starts(score: Score, piece: Piece) -> tuple[float, float]:
    """Where the two passages begin, in quarter notes: `piece.bars`, counted from 0."""
    first, second = piece.bars
    return score.bars[first][0], score.bars[second][0]


def render(piece: Piece, score: Score, start_ql: float, duration_s: float, seed: int) -> np.ndarray:
    """A passage of `piece`, float32 [2, frames] at 44.1 kHz, -20 dBFS RMS, peak below -1.5 dBFS.

    start_ql: where it begins in the score, in quarter notes; a score that ends before the passage
    does begins again.
    """
    from tinysoundfont import Synth

    synth = Synth(gain=-6.0, samplerate=RATE_HZ)
    bank = synth.sfload(str(soundfont()), max_voices=256)
    for number, voice in enumerate(piece.voices):
        channel = _channel(number)
        synth.program_select(channel, bank, 0, voice.program)
        synth.control_change(channel, 7, voice.volume)
        synth.control_change(channel, 10, _pan(number, len(piece.voices)))
    if piece.drums:
        synth.program_select(DRUM_CHANNEL, bank, 0, 0, is_drums=True)
        synth.control_change(DRUM_CHANNEL, 7, piece.drum_volume)

    frames = round(duration_s * RATE_HZ)
    chunks, at = [], 0
    for moment, on, channel, key, velocity in _events(piece, score, start_ql, duration_s, seed):
        frame = min(round(moment * RATE_HZ), frames)
        if frame > at:
            chunks.append(np.frombuffer(synth.generate(frame - at), np.float32))
            at = frame
        if on:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    if frames > at:
        chunks.append(np.frombuffer(synth.generate(frames - at), np.float32))
    return _level(np.concatenate(chunks).reshape(-1, 2).T)


def _channel(number: int) -> int:
    return number if number < DRUM_CHANNEL else number + 1


def _pan(number: int, count: int) -> int:
    """MIDI pan of the `number`th of `count` players, spread over the middle of the stage."""
    return 64 if count == 1 else round(34 + 60 * number / (count - 1))


def _events(
    piece: Piece, score: Score, start_ql: float, duration_s: float, seed: int
) -> list[tuple[float, int, int, int, int]]:
    """(seconds, on, channel, key, velocity) by time; notes end before others begin."""
    rng = np.random.default_rng(seed)
    second = 60.0 / piece.bpm
    window = duration_s / second
    strong = {start for start, _ in score.bars}
    events = []
    for number, voice in enumerate(piece.voices):
        for onset, length, midi in _from(voice.pick_from(score.parts[voice.part]), score, start_ql):
            if not 0 <= onset < window:
                continue
            accent = 12 if round((onset + start_ql) % score.length_ql, 4) in strong else 0
            velocity = int(np.clip(78 + accent + rng.normal(0, 5), 30, 120))
            begin = onset * second + abs(rng.normal(0, 0.004))
            end = max((onset + 0.96 * length) * second, begin + 0.05)
            key = midi + voice.shift
            events.append((begin, 1, _channel(number), key, velocity))
            events.append((end, 0, _channel(number), key, 0))
    for onset, key, velocity in _drums(piece, score, start_ql, window):
        hit = int(np.clip(velocity + rng.normal(0, 4), 20, 127))
        events.append((onset * second, 1, DRUM_CHANNEL, key, hit))
        events.append(((onset + 0.2) * second, 0, DRUM_CHANNEL, key, 0))
    return sorted(events)


def _from(notes: tuple[Note, ...], score: Score, start_ql: float) -> list[Note]:
    """Three rounds of the score, counted from `start_ql`; what began before it is left out."""
    return [
        n._replace(onset_ql=n.onset_ql + lap * score.length_ql - start_ql)
        for lap in range(3)
        for n in notes
    ]


def _drums(
    piece: Piece, score: Score, start_ql: float, window: float
) -> list[tuple[float, int, int]]:
    """(quarter notes from the start, key, velocity); the pattern restarts with each bar."""
    if piece.drums is None:
        return []
    hits = []
    for lap in range(3):
        for bar_start, bar_length in score.bars:
            at = bar_start + lap * score.length_ql - start_ql
            for round_ in range(int(np.ceil(bar_length / piece.drums.cycle_ql))):
                for offset, key, velocity in piece.drums.hits:
                    inside = round_ * piece.drums.cycle_ql + offset
                    if inside < bar_length and 0 <= at + inside < window:
                        hits.append((at + inside, key, velocity))
    return hits


def _level(sound: np.ndarray) -> np.ndarray:
    """Bring to RMS_DBFS, or less where peaks would pass PEAK_DBFS; fade the last FADE_S out."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    peak = float(np.abs(sound).max())
    gain = min(10 ** (RMS_DBFS / 20) / max(rms, 1e-9), 10 ** (PEAK_DBFS / 20) / max(peak, 1e-9))
    out = sound * np.float32(gain)
    fade = round(FADE_S * RATE_HZ)
    out[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.ascontiguousarray(out, dtype=np.float32)
