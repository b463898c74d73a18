"""Sounds and files that tests of every room build from: music, broken files, odd names.

    from builders import music, sine, noise, silence, write, file_set, broken_folder, hour_long

    sine(duration_s, freq_hz=440, rate_hz=44100, channels=2, peak=0.5)   -> float32 [C, T]
    noise(duration_s, rate_hz=44100, channels=2, rms=0.1, seed=0)        -> float32 [C, T]
    silence(duration_s, rate_hz=44100, channels=2)                       -> float32 [C, T]
    music(duration_s, rate_hz=44100, channels=2, seed=0, bpm=120)        -> float32 [C, T]
    write(path, samples, rate_hz=44100, subtype=None)   -> path; .wav .flac .ogg .mp3 .opus .aiff
    file_set(folder, count=4, duration_s=5, seed=0, suffixes=...)        -> list of good music files
    manifest(path, rows)                                -> path; JSON lines, paths relative to it
    hour_long(path, hours=1.0, rate_hz=44100)           -> path; 2 s of tone a minute, then silence
    zero_byte(path), text_as_audio(path), noise_bytes(path), truncated(path), short(path),
    unreadable(path), symlink_loop(path)                -> path; one broken file each
    odd_names(folder, suffix=".wav")                    -> list of good files with unfriendly names
    broken_folder(folder, seed=0)                       -> Broken(good, bad): a small mixed folder
    needs_permissions()                                 -> False for root, whom no mode bit stops

Everything is deterministic: the same arguments give the same samples. No fixtures hide in here;
each function takes the path it writes to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE_HZ = 44_100

# Names that shells, SQL, CSV and careless string formatting get wrong; all legal on Linux.
ODD_STEMS = (
    "two  spaces here",
    'it\'s a "quoted" song',
    "new\nline",
    "tab\tstop",
    "percent %s {brace} $HOME",
    "semicolon; DROP TABLE clips; --",
    "-leading dash",
    "Motörhead – Ærø (日本語) é",
    "e\u0301 decomposed",
    "back\\slash, comma",
    "🎵",
)


# --- samples -----------------------------------------------------------------------------------


def sine(
    duration_s: float,
    freq_hz: float = 440.0,
    rate_hz: int = RATE_HZ,
    channels: int = 2,
    peak: float = 0.5,
) -> np.ndarray:
    """A steady tone, float32 [channels, frames]."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    tone = peak * np.sin(2 * np.pi * freq_hz * t)
    return np.tile(tone.astype(np.float32), (channels, 1))


def noise(
    duration_s: float,
    rate_hz: int = RATE_HZ,
    channels: int = 2,
    rms: float = 0.1,
    seed: int = 0,
) -> np.ndarray:
    """White noise, independent in each channel, float32 [channels, frames]."""
    rng = np.random.default_rng(seed)
    return (rms * rng.standard_normal((channels, round(duration_s * rate_hz)))).astype(np.float32)


def silence(duration_s: float, rate_hz: int = RATE_HZ, channels: int = 2) -> np.ndarray:
    """Digital silence, float32 [channels, frames]."""
    return np.zeros((channels, round(duration_s * rate_hz)), dtype=np.float32)


def music(
    duration_s: float,
    rate_hz: int = RATE_HZ,
    channels: int = 2,
    seed: int = 0,
    bpm: float = 120.0,
) -> np.ndarray:
    """Plucked chords, a bass and a hi-hat, different for every seed; float32 [channels, frames].

    Broadband with onsets and harmony, so quality and similarity measures have something to hear;
    peak 0.7, no clipping.
    """
    rng = np.random.default_rng(seed)
    frames = round(duration_s * rate_hz)
    out = np.zeros((2, frames + rate_hz * 2), dtype=np.float32)
    beat = 60.0 / bpm
    root = 36 + int(rng.integers(12))
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10])
    degree = 0
    for step in range(int(np.ceil(duration_s / (beat / 2)))):
        at = round(step * beat / 2 * rate_hz)
        if step % 8 == 0:
            degree = int(rng.integers(7))
        if step % 2 == 0:
            _pluck(out, at, root + scale[degree], 0.5, 1.0, rate_hz, pan=0.5)
        note = (
            root + 24 + scale[(degree + 2 * int(rng.integers(4))) % 7] + 12 * int(rng.integers(2))
        )
        _pluck(out, at, note, 0.35, 0.6, rate_hz, pan=float(rng.random()))
        hat = rng.standard_normal((2, rate_hz // 20), dtype=np.float32) * np.exp(
            -np.linspace(0, 8, rate_hz // 20)
        )
        out[:, at : at + hat.shape[1]] += 0.05 * hat
    mix = out[:, :frames]
    mix = mix if channels == 2 else np.repeat(mix.mean(axis=0, keepdims=True), channels, axis=0)
    return (0.7 * mix / max(float(np.abs(mix).max(initial=0.0)), 1e-9)).astype(np.float32)


def _pluck(
    out: np.ndarray, at: int, note: float, gain: float, decay_s: float, rate_hz: int, pan: float
) -> None:
    """Add one plucked tone to `out`, in place, panned 0 (left) to 1 (right)."""
    tone = _tone(int(note), decay_s, rate_hz)
    out[0, at : at + tone.size] += gain * np.cos(pan * np.pi / 2) * tone
    out[1, at : at + tone.size] += gain * np.sin(pan * np.pi / 2) * tone


@lru_cache(maxsize=512)
def _tone(note: int, decay_s: float, rate_hz: int) -> np.ndarray:
    """One second of 10 decaying harmonics (those below Nyquist), the higher the shorter."""
    t = np.arange(rate_hz, dtype=np.float32) / rate_hz
    freq = np.float32(440.0 * 2 ** ((note - 69) / 12))
    tone = np.zeros_like(t)
    for k in range(1, 11):
        if k * freq < rate_hz / 2:
            tone += np.sin(2 * np.pi * k * freq * t) * np.exp(-t * (2 + 0.6 * k) / decay_s) / k
    return tone


# --- good files --------------------------------------------------------------------------------


def write(
    path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None
) -> Path:
    """Write float32 [C, T] by the suffix of `path`: .wav .flac .ogg .mp3 .opus .aiff.

    Opus knows only 8, 12, 16, 24 and 48 kHz; give such a rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {".opus": ("OGG", "OPUS"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None)}
    kind, default = kinds.get(path.suffix.lower(), (path.suffix[1:].upper(), None))
    with soundfile.SoundFile(
        path, "w", rate_hz, samples.shape[0], format=kind, subtype=subtype or default
    ) as file:
        # Vorbis in one huge block overflows the encoder's stack, so every format goes in blocks.
        for start in range(0, samples.shape[1], rate_hz):
            file.write(samples[:, start : start + rate_hz].T)
    return path


def file_set(
    folder: Path,
    count: int = 4,
    duration_s: float = 5.0,
    seed: int = 0,
    suffixes: Iterable[str] = (".wav", ".flac", ".ogg", ".mp3"),
) -> list[Path]:
    """`count` different good music files: `track_00.wav`, `track_01.flac`, ... in turn."""
    kinds = tuple(suffixes)
    return [
        write(
            folder / f"track_{i:02d}{kinds[i % len(kinds)]}",
            music(duration_s, seed=seed + i, bpm=80 + 15 * (i % 6), rate_hz=48_000),
            48_000,
        )
        for i in range(count)
    ]


def manifest(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON lines; a `path` under the manifest's own folder becomes relative to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        audio = Path(row["path"])
        inside = audio.is_absolute() and audio.is_relative_to(path.parent)
        name = str(audio.relative_to(path.parent) if inside else audio)
        lines.append(json.dumps({**row, "path": name}, ensure_ascii=False))
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def hour_long(path: Path, hours: float = 1.0, rate_hz: int = RATE_HZ) -> Path:
    """A mono file of `hours`: each minute 2 s of quiet tone, then silence; written by the minute.

    As .flac an hour is about a megabyte; memory stays at one minute of audio.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    minute = silence(60.0, rate_hz, 1)[0]
    minute[: 2 * rate_hz] = sine(2.0, 441.0, rate_hz, 1, 0.1)[0]
    with soundfile.SoundFile(path, "w", rate_hz, 1) as file:
        for _ in range(round(hours * 60)):
            file.write(minute)
    return path


# --- broken files ------------------------------------------------------------------------------


def zero_byte(path: Path) -> Path:
    """A file of zero bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def text_as_audio(path: Path) -> Path:
    """A text file under an audio name: a download that returned an error page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<html><title>404 Not Found</title></html>\n" * 20)
    return path


def noise_bytes(path: Path, size: int = 50_000, seed: int = 0) -> Path:
    """Random bytes under an audio name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(seed).bytes(size))
    return path


def truncated(path: Path, duration_s: float = 10.0, keep: float = 0.4, seed: int = 0) -> Path:
    """A good file cut after `keep` of its bytes: the header still claims `duration_s`.

    MP3 and Ogg decode as far as they go; FLAC fails inside; WAV's header promises too much.
    """
    write(path, music(duration_s, seed=seed))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def short(path: Path, duration_s: float = 0.2, seed: int = 0) -> Path:
    """A good file shorter than any window."""
    return write(path, music(duration_s, seed=seed))


def unreadable(path: Path, seed: int = 0) -> Path:
    """A good file whose mode lets nobody read it; ask `needs_permissions()` first."""
    write(path, music(2.0, seed=seed))
    path.chmod(0o000)
    return path


def needs_permissions() -> bool:
    """Whether mode bits stop this user; they do not stop root."""
    return os.geteuid() != 0


def symlink_loop(path: Path) -> Path:
    """A symbolic link that points to itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)
    return path


def odd_names(folder: Path, suffix: str = ".wav", duration_s: float = 2.0) -> list[Path]:
    """One good file per name in ODD_STEMS, all different."""
    return [
        write(folder / (stem + suffix), music(duration_s, seed=100 + i, rate_hz=16_000), 16_000)
        for i, stem in enumerate(ODD_STEMS)
    ]


@dataclass(frozen=True)
class Broken:
    """What `broken_folder` wrote: files that must be read, files that must be reported."""

    good: tuple[Path, ...]
    bad: tuple[Path, ...]


def broken_folder(folder: Path, seed: int = 0) -> Broken:
    """A folder as downloads leave it: 3 good files among broken ones.

    bad: zero bytes, text, random bytes, a FLAC and a WAV cut short, a 0.2 s file, a link to
    itself, a link to nothing. A folder named like a file lies among them and is neither.
    """
    good = file_set(folder, 3, 4.0, seed, (".wav", ".flac", ".ogg"))
    bad = [
        zero_byte(folder / "zero.wav"),
        text_as_audio(folder / "text.wav"),
        noise_bytes(folder / "bytes.mp3", seed=seed),
        truncated(folder / "cut.flac", seed=seed + 50),
        truncated(folder / "cut.wav", seed=seed + 51),
        short(folder / "short.wav", seed=seed + 52),
        symlink_loop(folder / "loop.wav"),
        folder / "dangling.wav",
    ]
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "folder.wav").mkdir()
    return Broken(tuple(good), tuple(bad))
