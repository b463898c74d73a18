"""Scores as sound: notes from the music21 corpus, orchestrated at random and rendered.

The same score gives endlessly many pieces: random tempo, key, instruments, loudness and places in
the stereo picture, doubled basses, held chords and drums. The point is variety of timbre for
training, not taste.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import ConfigError
from .debian import fetch_package

# composer folder of the corpus -> how many scores of it; composers that demonstrations are made
# from (joplin, mozart, haydn, beethoven ...) are left out on purpose.
TRAIN_COMPOSERS = {
    "bach": 90, "palestrina": 50, "ryansMammoth": 80, "essenFolksong": 60, "airdsAirs": 50,
    "oneills1850": 50, "ciconia": 1, "luca": 1,
}  # fmt: skip
TEST_COMPOSERS = {"trecento": 25, "josquin": 8, "cpebach": 1, "nottingham-dataset": 20}
SUFFIXES = {".mxl", ".krn", ".abc", ".xml", ".musicxml"}
DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Score:
    """One score as plain numbers.

    notes: float32 [n, 4], a row a note: onset and length in quarter notes, MIDI pitch, part.
    """

    name: str
    composer: str
    notes: np.ndarray


def load_scores(cache: Path) -> list[Score]:
    """All scores of both lists, read with music21 at the first call and from `cache` later."""
    path = cache / "scores.json"
    if not path.exists():
        scores = [s for c, n in (TRAIN_COMPOSERS | TEST_COMPOSERS).items() for s in _read(c, n)]
        plain = [
            {"name": s.name, "composer": s.composer, "notes": s.notes.tolist()} for s in scores
        ]
        part = path.with_suffix(".part")
        part.write_text(json.dumps(plain))
        part.replace(path)
    return [
        Score(row["name"], row["composer"], np.array(row["notes"], np.float32).reshape(-1, 4))
        for row in json.loads(path.read_text())
    ]


def _read(composer: str, count: int) -> list[Score]:
    """Up to `count` scores of one folder, spread evenly over its files."""
    from music21 import abcFormat, converter, corpus, exceptions21, stream

    folder = Path(corpus.__path__[0]) / composer
    files = sorted(f for f in folder.rglob("*") if f.suffix in SUFFIXES)
    scores: list[Score] = []
    step = max(1, len(files) // count)
    for file in files[::step]:
        if len(scores) >= count:
            break
        try:
            piece = converter.parse(file)
        except (exceptions21.Music21Exception, abcFormat.ABCHandlerException, ValueError):
            continue  # a few encodings of the corpus cannot be read: the next file serves as well
        pieces = piece.scores if isinstance(piece, stream.Opus) else [piece]
        for number, one in enumerate(pieces):
            notes = _notes(one)
            if len(notes) >= 40 and len(scores) < count:
                scores.append(Score(f"{composer}/{file.stem}#{number}", composer, notes))
    return scores


def _notes(score) -> np.ndarray:  # type: ignore[no-untyped-def]  # music21 has no types
    rows = []
    for part_number, part in enumerate(score.parts if len(score.parts) else [score]):
        for note in part.flatten().notes:
            length = float(note.quarterLength)
            if length > 0:
                rows += [(float(note.offset), length, p.midi, part_number) for p in note.pitches]
    return np.array(sorted(rows), np.float32).reshape(-1, 4)


def soundfonts(cache: Path) -> tuple[Path, ...]:
    """TimGM6mb and FluidR3 (GM), the second from a Debian package kept in `cache`."""
    folder = fetch_package("fluid-soundfont-gm", cache)
    return soundfont(), *sorted(folder.rglob("*.sf2"))


def more_soundfonts(cache: Path) -> tuple[Path, ...]:
    """Two banks of other sounds, from Debian packages: FM synthesis (OPL3) and Csound's GM bank."""
    folders = [fetch_package(p, cache) for p in ("opl3-soundfont", "csound-soundfont")]
    return tuple(sorted(folder.rglob("*.sf2"))[0] for folder in folders)


def soundfont() -> Path:
    """The General MIDI soundfont that pretty_midi carries, TimGM6mb."""
    import pretty_midi

    path = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if not path.exists():
        raise ConfigError(f"{path} is missing: pip install --force-reinstall pretty_midi")
    return path


# a row an event: second, channel, pitch, velocity (0 ends the note)
Events = list[tuple[float, int, int, int]]


def orchestrate(score: Score, seconds: float, rng: np.random.Generator) -> tuple[Events, list[int]]:
    """Events of `seconds` from a random place of `score`, and the GM program of each channel."""
    quarter_s = 60 / rng.uniform(70, 190)
    notes = score.notes.copy()
    notes[:, :2] *= quarter_s
    end_s = float((notes[:, 0] + notes[:, 1]).max())
    from_s = rng.uniform(0, max(0.0, end_s - seconds))
    notes = notes[(notes[:, 0] >= from_s) & (notes[:, 0] < from_s + seconds)]
    notes[:, 0] -= from_s
    notes[:, 2] += rng.integers(-5, 6)
    parts = sorted(set(notes[:, 3].astype(int)))
    channels = {p: (i % 6) for i, p in enumerate(parts)}
    same = rng.random() < 0.35  # one family for all, as on a keyboard or in a consort
    programs = [int(rng.integers(0, 104))] * 9 if same else list(map(int, rng.integers(0, 104, 9)))
    loud = rng.integers(55, 110, 16)
    events: Events = []

    def add(start_s: float, length_s: float, channel: int, pitch: float, soft: int = 0) -> None:
        velocity = int(np.clip(loud[channel] - soft + rng.integers(-12, 13), 20, 127))
        key = int(np.clip(pitch, 12, 115))
        events.append((start_s, channel, key, velocity))
        events.append((start_s + max(0.05, 0.95 * length_s), channel, key, 0))

    for onset, length, pitch, part in notes:
        add(onset, length, channels[int(part)], pitch)
    if rng.random() < 0.55:
        _accompany(notes, quarter_s, rng, add)
    if rng.random() < 0.45:
        _drum(seconds, quarter_s, rng, add)
    return sorted(events), programs


def _accompany(notes: np.ndarray, quarter_s: float, rng: np.random.Generator, add) -> None:  # type: ignore[no-untyped-def]
    """A bass and held chords made from what sounds on every second or fourth quarter."""
    bar_s = quarter_s * int(rng.choice([2, 4]))
    bass, chords = rng.random() < 0.8, rng.random() < 0.6
    for start_s in np.arange(0, notes[:, 0].max() + 0.01 if len(notes) else 0, bar_s):
        now = notes[(notes[:, 0] <= start_s + 0.1) & (notes[:, 0] + notes[:, 1] > start_s + 0.05)]
        if not len(now):
            continue
        if bass:
            root = 36 + (now[:, 2].min() % 12)
            for beat in range(int(rng.integers(1, 5))):
                add(start_s + beat * bar_s / 4, bar_s / 4, 6, root, soft=5)
        if chords:
            for pitch in now[:3, 2]:
                add(start_s, bar_s, 7, 60 + pitch % 12, soft=25)


def _drum(seconds: float, quarter_s: float, rng: np.random.Generator, add) -> None:  # type: ignore[no-untyped-def]
    """A random pattern of eight eighths for kick, snare, hats and one more, repeated."""
    odds = {36: 0.35, 38: 0.25, 42: 0.7, int(rng.integers(39, 60)): 0.15}
    pattern = {key: rng.random(8) < p for key, p in odds.items()}
    for step, start_s in enumerate(np.arange(0, seconds, quarter_s / 2)):
        for key, hits in pattern.items():
            if hits[step % 8]:
                add(float(start_s), 0.1, DRUM_CHANNEL, key, soft=10)


@lru_cache(maxsize=8)
def _synth(rate_hz: int, font: Path) -> tuple[Any, int]:
    """A synthesizer with `font` in it: reading a large soundfont costs half a second."""
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=rate_hz)
    return synth, synth.sfload(str(font))


def render(
    score: Score, seconds: float, rate_hz: int, rng: np.random.Generator,
    fonts: tuple[Path, ...] = (),
) -> np.ndarray:  # fmt: skip
    """A random orchestration as sound, float32 [2, seconds * rate_hz], peak .3 to .95.

    fonts: soundfonts to choose from; none is TimGM6mb.
    """
    events, programs = orchestrate(score, seconds, rng)
    font = fonts[rng.integers(len(fonts))] if fonts else soundfont()
    pans = [int(rng.integers(20, 108)) for _ in programs]
    sound = play(events, programs, pans, seconds, rate_hz, font)
    return sound * (rng.uniform(0.3, 0.95) / max(float(np.abs(sound).max()), 1e-6))


def play(
    events: Events, programs: list[int], pans: list[int], seconds: float, rate_hz: int, font: Path
) -> np.ndarray:
    """`events` as sound, float32 [2, seconds * rate_hz]: a GM program and a pan a channel."""
    synth, number = _synth(rate_hz, font)
    for channel, (program, pan) in enumerate(zip(programs, pans, strict=True)):
        synth.program_select(channel, number, 0, program)
        synth.control_change(channel, 10, pan)
    synth.program_select(DRUM_CHANNEL, number, 128, 0, True)
    blocks, done = [], 0
    for second, channel, pitch, velocity in [*events, (seconds, 0, 0, 0)]:
        at = min(int(second * rate_hz), int(seconds * rate_hz))
        if at > done:
            blocks.append(np.frombuffer(bytes(synth.generate(at - done)), np.float32))
            done = at
        if velocity:
            synth.noteon(channel, pitch, velocity)
        else:
            synth.noteoff(channel, pitch)
    synth.sounds_off()
    synth.generate(rate_hz // 5)  # voices take some milliseconds to end: not into the next piece
    return np.concatenate(blocks).reshape(-1, 2).T.copy()
