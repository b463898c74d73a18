"""All labelled sounds as the network's sampling rate wants them, decoded once into one file.

`waves.f32` holds their samples one after the other (230 MB an hour at 16 kHz), `waves.json` where
each begins and which could not be read. Training cuts its crops out of the memory-mapped file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...audio.decode import read_windows
from ...audio.probe import probe
from ...audio.sound import Sound
from ...pipeline.dataset import write_atomically
from ...schemas.errors import AudioError
from ..pmos.wav2vec2 import MIN_S, Hearing, read_json
from .labels import Labelled, Problem
from .state import BEST, STATE

SAMPLES, INDEX = "waves.f32", "waves.json"


@dataclass(frozen=True)
class Waves:
    """The prepared sounds.

    kept: which of the labelled sounds these are, in order. starts, lengths: of each in `samples`,
    in samples. digests: of each one's samples; equal ones sound the same.
    """

    kept: list[int]
    starts: list[int]
    lengths: list[int]
    digests: list[str]
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.kept)

    def wave(self, k: int) -> np.ndarray:
        """Sound number `k`, whole: float32 [T]."""
        return np.asarray(self.samples[self.starts[k] : self.starts[k] + self.lengths[k]])


def prepare(
    sounds: Sequence[Labelled], front_end: Hearing, folder: Path, advance: Callable[[int], None]
) -> tuple[Waves, list[Problem]]:
    """The sounds as waves, and the rows whose audio cannot be used.

    Found again if made before from the same files, as far as their sizes and times tell; else a
    training on the waves that were there is forgotten with them.
    """
    identity = _identity(sounds, front_end)
    index = read_json(folder / INDEX)
    if index.get("identity") != identity:
        for name in (INDEX, STATE, BEST):
            (folder / name).unlink(missing_ok=True)
        _write(sounds, front_end, folder, identity, advance)
        index = read_json(folder / INDEX)
    del index["identity"]
    problems = [Problem(**p) for p in index.pop("problems")]
    samples = np.zeros(0, np.float32)
    if index["kept"]:  # an empty file cannot be mapped
        samples = np.memmap(folder / SAMPLES, np.float32, mode="r")
    return Waves(**index, samples=samples), problems


def _identity(sounds: Sequence[Labelled], front_end: Hearing) -> str:
    """A hash of which stretches of which files these are, and how they are heard."""
    states = [(s.file, s.file.stat()) for s in sounds]
    facts = [
        (str(file), state.st_size, state.st_mtime_ns, sound.start_s, sound.duration_s)
        for sound, (file, state) in zip(sounds, states, strict=True)
    ]
    return hashlib.sha256(repr((front_end, facts)).encode()).hexdigest()


def _write(
    sounds: Sequence[Labelled],
    front_end: Hearing,
    folder: Path,
    identity: str,
    advance: Callable[[int], None],
) -> None:
    """Decode everything; the index is written last and says that the file is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[int, tuple[int, int, str]] = {}
    problems: list[Problem] = []
    end = 0
    with open(folder / SAMPLES, "wb") as file:
        for number, item in _decoded(sounds):
            if isinstance(item, AudioError):
                kind = type(item).__name__
                problems += [
                    Problem(row, sounds[number].path, kind, str(item))
                    for row in sounds[number].rows
                ]
            else:
                content = np.ascontiguousarray(front_end.wave(item)).tobytes()
                found[number] = end, len(content) // 4, hashlib.sha256(content).hexdigest()[:16]
                end += len(content) // 4
                file.write(content)
            advance(1)
    kept = sorted(found)
    starts, lengths, digests = zip(*(found[k] for k in kept), strict=True) if kept else ((),) * 3
    index = {
        "identity": identity,
        "kept": kept, "starts": starts, "lengths": lengths, "digests": digests,
        "problems": [asdict(p) for p in problems],
    }  # fmt: skip
    write_atomically(folder / INDEX, json.dumps(index).encode())


class TooShort(AudioError):
    """The sound is shorter than a scorer judges."""


def _decoded(sounds: Sequence[Labelled]) -> Iterator[tuple[int, Sound | AudioError]]:
    """(number, the sound or what is wrong with it), file by file: each is opened once."""
    by_file: dict[Path, list[int]] = {}
    for number, sound in enumerate(sounds):
        by_file.setdefault(sound.file, []).append(number)
    for path, numbers in by_file.items():
        numbers.sort(key=lambda k: sounds[k].start_s)
        try:
            whole_s = probe(path).duration_s
        except AudioError as error:
            yield from ((k, error) for k in numbers)
            continue
        windows = [
            (sounds[k].start_s, sounds[k].duration_s or max(whole_s - sounds[k].start_s, 1e-3))
            for k in numbers
        ]
        for k, item in zip(numbers, read_windows(path, windows), strict=True):
            if isinstance(item, Sound) and item.duration_s < MIN_S:
                item = TooShort(f"{path}: {item.duration_s:.3f} s, expected at least {MIN_S:g} s")
            yield k, item
