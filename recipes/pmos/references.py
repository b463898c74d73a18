"""Clean music to damage: windows of real tracks and of rendered scores, split by album or composer.

Real tracks come from Debian packages with free licences, fetched at set-up into a cache folder and
never committed. A clip is a function of its split and number on machines that have the same packages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from ...audio.damage.degrade import degrade
from ..clap.arrange import PIECE_S, arrange
from ..clap.styles import STYLES
from ..common.debian import fetch_package
from ..common.scores import (
    TEST_COMPOSERS,
    Score,
    load_scores,
    more_soundfonts,
    play,
    render,
    soundfonts,
)
from .guitars import guitar

CLIP_S = 5.0
SPLITS = ("train", "dev", "test")
WIDE = 0.5  # share of clips for training and dev that are of more varied music
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

    split: str
    number: int
    source: Source
    samples: np.ndarray
    rate_hz: int
    variation: str


def sources(cache: Path) -> list[Source]:
    """Every track of 20 s or more and every score, in a fixed order; each seventh is for dev."""
    out: list[Source] = []
    for package, held_out in PACKAGES.items():
        folder = fetch_package(package, cache)
        paths = sorted(folder.rglob("*.ogg"))
        tracks = [p for p in paths if "sounds" not in p.parts and sf.info(p).duration >= 20]
        for i, path in enumerate(tracks):
            split = "test" if held_out else ("dev" if i % 7 == 6 else "train")
            out.append(Source(str(path.relative_to(folder)), package, split, path=path))
    for i, score in enumerate(load_scores(cache)):
        held_out = score.composer in TEST_COMPOSERS
        split = "test" if held_out else ("dev" if i % 7 == 6 else "train")
        out.append(Source(score.name, score.composer, split, score=score))
    return out


class Clips:
    """`clip(split, i)` for i = 0, 1, 2 ...: every other one is rendered."""

    def __init__(self, cache: Path, seed: int) -> None:
        self.seed = seed
        self.fonts = soundfonts(cache)  # the test's
        self.more_fonts = (*self.fonts, *more_soundfonts(cache))
        self.pools: dict[tuple[str, bool], list[Source]] = {}
        for source in sources(cache):
            self.pools.setdefault((source.split, source.score is not None), []).append(source)

    def clip(self, split: str, number: int) -> Clip:
        """The clip of this number, never near silence (RMS above -55 dB).

        Clips for training and dev are varied as good recordings vary; those of the test are as they
        are, but for their level.
        """
        rng = np.random.default_rng([self.seed, SPLITS.index(split), number])
        rendered = number % 2 == 1
        pool = self.pools[split, rendered]
        rate_hz = int(rng.choice([44100, 48000]))
        while True:
            source = pool[rng.integers(len(pool))]
            if split != "test" and rng.random() < WIDE:
                samples = self._wide_window(source, rate_hz, rng)
            else:
                samples = self._window(source, rate_hz, rng, vary=split != "test")
            if np.sqrt(np.mean(samples**2)) > 10 ** (-55 / 20):
                break
        variation = ""
        if split != "test":
            samples, variation = _vary(samples, rate_hz, rendered, rng)
        level = rng.uniform(0.1, 0.99) / max(float(np.abs(samples).max()), 1e-6)
        samples = (samples * level).astype(np.float32)
        return Clip(split, number, source, samples, rate_hz, variation)

    def _window(
        self, source: Source, rate_hz: int, rng: np.random.Generator, vary: bool
    ) -> np.ndarray:
        """A random window of `source`; in training one of eight has another piece laid over it."""
        fonts = self.more_fonts if vary else self.fonts
        samples = _cut(source, rate_hz, rng, fonts, vary)
        if vary and rng.random() < 0.12:
            pool = self.pools["train", bool(rng.random() < 0.5)]
            other = _cut(pool[rng.integers(len(pool))], rate_hz, rng, fonts, vary)
            samples = _laid_over(samples, other, rng)
        return samples

    def _wide_window(self, source: Source, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        """A window of more varied material: of two rendered clips one has a style (drums, bass,
        chords of a genre) or amplified guitars; one of five clips has another piece laid over it."""
        samples = self._played(source, rate_hz, rng)
        if rng.random() < 0.2:
            pool = self.pools["train", bool(rng.random() < 0.5)]
            other = self._played(pool[rng.integers(len(pool))], rate_hz, rng)
            samples = _laid_over(samples, other, rng)
        return samples

    def _played(self, source: Source, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        way = rng.random()
        if source.score is None or way > 0.5:
            return _cut(source, rate_hz, rng, self.more_fonts, vary=True, speeds=(0.85, 1.3))
        font = self.more_fonts[rng.integers(len(self.more_fonts))]
        if way < 0.2:
            return guitar(source.score, CLIP_S, rate_hz, rng, font)
        genre = sorted(STYLES)[rng.integers(len(STYLES))]
        events, programs, _ = arrange(source.score, genre, rng)
        from_s = float(rng.uniform(0, PIECE_S - CLIP_S))
        events = [(max(0.0, at - from_s), c, k, v) for at, c, k, v in events if at > from_s - 2]
        pans = [int(rng.integers(20, 108)) for _ in programs]
        return play([e for e in events if e[0] < CLIP_S], programs, pans, CLIP_S, rate_hz, font)


def _laid_over(samples: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`samples` with `other` over it, up to 16 dB softer."""
    loud = [max(float(np.sqrt(np.mean(x**2))), 1e-5) for x in (samples, other)]
    return samples / loud[0] + other / loud[1] * 10 ** rng.uniform(-0.8, 0)


def _cut(
    source: Source, rate_hz: int, rng: np.random.Generator, fonts: tuple[Path, ...], vary: bool,
    speeds: tuple[float, float] = (0.88, 1.12),
) -> np.ndarray:  # fmt: skip
    """A random window float32 [2, frames] of one source; a third of recordings change their speed
    by a factor within `speeds` where `vary` says so."""
    frames = int(CLIP_S * rate_hz)
    if source.score is not None:
        return render(source.score, CLIP_S, rate_hz, rng, fonts)
    speed = rng.uniform(*speeds) if vary and rng.random() < 0.33 else 1.0
    info = sf.info(source.path)
    need = int((CLIP_S * speed + 0.2) * info.samplerate)
    start = int(rng.integers(0, max(1, info.frames - need)))
    samples = sf.read(source.path, need, start, dtype="float32", always_2d=True)[0]
    samples = soxr.resample(samples, info.samplerate * speed, rate_hz)[:frames]
    samples = np.pad(samples, ((0, frames - len(samples)), (0, 0)))
    left, right = samples[:, 0], samples[:, -1]
    if vary and rng.random() < 0.15:  # one channel, or the sides alone
        side = left - right
        left = right = side if rng.random() < 0.3 and np.std(side) > 1e-3 else left
    return np.stack([left, right]).astype(np.float32)


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
    sometimes(0.08 if rendered else 0.02, "reverb", -24, -12)
    sometimes(0.05, "limit", 2, 6)
    sometimes(0.05, "lowpass", 15500, 18500)
    sometimes(0.04, "mp3", 256, 320)
    sometimes(0.04, "vorbis", 0.8, 0.95)
    if rng.random() < 0.08:
        samples = _rest(samples, rate_hz, rng)
        done.append("rest")
    return samples, "+".join(done)


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
