"""Clean music to damage: windows of real tracks and of rendered scores, split by album or composer.

Real tracks come from Debian packages with free licences, fetched at set-up into a cache folder and
never committed. A clip is a pure function of its number: `clip(i)` is the same on every machine
that has the same packages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from ...audio.degrade import degrade
from .debian import fetch_package
from .scores import TEST_COMPOSERS, Score, load_scores, render

CLIP_S = 5.0
PACKAGES = {  # package -> is it held out for the test?
    "fretsonfire-songs-muldjord": False,
    "nexuiz-music": False,
    "singularity-music": False,
    "fretsonfire-songs-sectoid": True,
    "hyperrogue-music": True,
}


@dataclass(frozen=True)
class Source:
    """A track or a score to cut clips from; `group` is the album or the composer."""

    name: str
    group: str
    split: str  # train | dev | test
    path: Path | None = None
    score: Score | None = None


@dataclass(frozen=True)
class Clip:
    """One clean window: samples float32 [2, CLIP_S * rate_hz] and where it came from."""

    number: int
    source: Source
    samples: np.ndarray
    rate_hz: int
    variation: str


def sources(cache: Path) -> list[Source]:
    """Every track of 20 s or more and every score, in a fixed order; each seventh is for dev."""
    found: list[Source] = []
    for package, held_out in PACKAGES.items():
        folder = fetch_package(package, cache)
        paths = sorted(folder.rglob("*.ogg"))
        tracks = [p for p in paths if "sounds" not in p.parts and sf.info(p).duration >= 20]
        for i, path in enumerate(tracks):
            split = "test" if held_out else ("dev" if i % 7 == 6 else "train")
            found.append(Source(str(path.relative_to(folder)), package, split, path=path))
    for i, score in enumerate(load_scores(cache)):
        held_out = score.composer in TEST_COMPOSERS
        split = "test" if held_out else ("dev" if i % 7 == 6 else "train")
        found.append(Source(score.name, score.composer, split, score=score))
    return found


class Clips:
    """`clip(i)` for i = 0, 1, 2 ...: 12% for the test, 9% for dev, 55% of all rendered."""

    def __init__(self, cache: Path, seed: int) -> None:
        self.seed = seed
        self.pools: dict[tuple[str, bool], list[Source]] = {}
        for source in sources(cache):
            self.pools.setdefault((source.split, source.score is not None), []).append(source)

    def clip(self, number: int, rendered: float = 0.55) -> Clip:
        """The clip of this number, never near silence (RMS above -55 dB).

        rendered: how probable a score is, rather than a recording.
        """
        rng = np.random.default_rng([self.seed, number])
        split = str(rng.choice(["train", "dev", "test"], p=[0.79, 0.09, 0.12]))
        pool = self.pools[split, bool(rng.random() < rendered)]
        rate_hz = int(rng.choice([44100, 48000]))
        while True:
            source = pool[rng.integers(len(pool))]
            samples = _window(source, rate_hz, rng)
            if np.sqrt(np.mean(samples**2)) > 10 ** (-55 / 20):
                break
        samples, variation = _vary(samples, rate_hz, source.score is not None, rng)
        return Clip(number, source, samples, rate_hz, variation)


def _window(source: Source, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A random window of `source`, played up to 12% faster or slower in a third of all cases."""
    speed = rng.uniform(0.88, 1.12) if rng.random() < 0.33 else 1.0
    frames = int(CLIP_S * rate_hz)
    if source.score is not None:
        return render(source.score, CLIP_S, rate_hz, rng)
    info = sf.info(source.path)
    need = int((CLIP_S * speed + 0.2) * info.samplerate)
    start = int(rng.integers(0, max(1, info.frames - need)))
    samples = sf.read(source.path, need, start, dtype="float32", always_2d=True)[0]
    samples = soxr.resample(samples, info.samplerate * speed, rate_hz)[:frames]
    samples = np.pad(samples, ((0, frames - len(samples)), (0, 0)))
    return np.ascontiguousarray(np.repeat(samples, 2, 1)[:, :2].T if samples.shape[1] == 1
                                else samples[:, :2].T)  # fmt: skip


def _vary(
    samples: np.ndarray, rate_hz: int, rendered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """What good recordings differ in: tone, room, mild coding, levels, silence at an end."""
    done: list[str] = []

    def sometimes(odds: float, kind: str, low: float, high: float) -> None:
        nonlocal samples
        if rng.random() < odds:
            seed = int(rng.integers(2**31))
            samples = degrade(samples, rate_hz, kind, float(rng.uniform(low, high)), seed)
            done.append(kind)

    if rng.random() < 0.35:
        samples = _tilt(samples, rate_hz, rng)
        done.append("tone")
    sometimes(0.15 if rendered else 0.03, "reverb", -22, -10)
    sometimes(0.08, "limit", 2, 8)
    sometimes(0.05, "lowpass", 15500, 18500)
    sometimes(0.06, "mp3", 224, 320)
    sometimes(0.06, "vorbis", 0.7, 0.95)
    if rng.random() < 0.08:
        samples = _rest(samples, rate_hz, rng)
        done.append("rest")
    level = rng.uniform(0.1, 0.99) / max(float(np.abs(samples).max()), 1e-6)
    return (samples * level).astype(np.float32), "+".join(done)


def _tilt(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth equaliser of up to 6 dB at eight points between 60 Hz and 20 kHz."""
    size = 1 << (samples.shape[1] + rate_hz // 4).bit_length()
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / rate_hz), 30))
    gain_db = np.interp(octaves, np.linspace(np.log2(60), np.log2(20000), 8), rng.uniform(-6, 6, 8))
    spectrum = np.fft.rfft(samples, size) * 10 ** (gain_db / 20)
    return np.fft.irfft(spectrum, size)[:, : samples.shape[1]].astype(np.float32)


def _rest(samples: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Up to 1.5 s of silence with a fade before or after the music: natural, not a dropout."""
    frames = samples.shape[1]
    silent, fade = int(rng.uniform(0.2, 1.5) * rate_hz), int(rng.uniform(0.03, 0.6) * rate_hz)
    gain = np.clip((np.arange(frames) - silent) / fade, 0, 1).astype(np.float32)
    return samples * (gain if rng.random() < 0.5 else gain[::-1])
