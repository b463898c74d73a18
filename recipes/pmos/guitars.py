"""Electric guitars for p-MOS to know as clean: a score on a guitar, an amplifier, a cabinet.

Distorted on purpose, good music has flat tops and no treble above 6 kHz. Without it a scorer takes
every metal guitar for an overload.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr

from ..common.scores import DRUM_CHANNEL, Score, orchestrate, play

GUITARS = (24, 25, 26, 27, 28, 29, 30, 30)  # GM programs, nylon to distortion
UPSAMPLING = 4  # against aliases of the shaper


def guitar(
    score: Score, seconds: float, rate_hz: int, rng: np.random.Generator, font: Path
) -> np.ndarray:
    """A passage of `score` on amplified guitars, float32 [2, seconds * rate_hz], alone or (half of
    the time) over its bass and drums, which stay clean."""
    events, programs = orchestrate(score, seconds, rng)
    backed = rng.random() < 0.5
    pans = [int(rng.integers(20, 108)) for _ in programs]
    riff = [e for e in events if e[1] != DRUM_CHANNEL and not (backed and e[1] == 6)]
    rest = [e for e in events if e not in riff]
    players = [int(rng.choice(GUITARS))] * len(programs)
    down = 12 * int(rng.random() < 0.6)
    low = [(at, c, max(28, key - down), velocity) for at, c, key, velocity in riff]
    played = play(low, players, pans, seconds, rate_hz, font)
    loud = amplified(played, rate_hz, float(rng.uniform(0, 40)), rng)
    if not backed or not rest:
        return loud
    under = play(rest, programs, pans, seconds, rate_hz, font)
    ratio = float(np.std(loud)) / max(float(np.std(under)), 1e-6)
    return (loud + under * ratio * 10 ** rng.uniform(-0.5, 0.2)).astype(np.float32)


def amplified(x: np.ndarray, rate_hz: int, drive_db: float, rng: np.random.Generator) -> np.ndarray:
    """`x` [2, frames] through a soft, lopsided clipper at `drive_db` and a cabinet, peak 1 at most.

    The cabinet: from 70-120 Hz to 4-7.5 kHz with a bump of up to 8 dB at 2-4 kHz.
    """
    level = float(np.sqrt(np.mean(x**2)))
    fine = soxr.resample(x.T, rate_hz, UPSAMPLING * rate_hz)
    lean = rng.uniform(0, 0.4)
    shaped = np.tanh(fine / max(level, 1e-6) * 0.2 * 10 ** (drive_db / 20) + lean)
    back = soxr.resample(shaped - np.tanh(lean), UPSAMPLING * rate_hz, rate_hz).T[:, : x.shape[1]]
    back = np.pad(back, ((0, 0), (0, x.shape[1] - back.shape[1])))
    size = 1 << (x.shape[1] + rate_hz // 4).bit_length()
    hz = np.maximum(np.fft.rfftfreq(size, 1 / rate_hz), 1.0)
    low_hz, high_hz = rng.uniform(70, 120), rng.uniform(4000, 7500)
    bump_db, bump_hz = rng.uniform(0, 8), rng.uniform(2000, 4000)
    gain = 1 / np.sqrt((1 + (low_hz / hz) ** 4) * (1 + (hz / high_hz) ** rng.choice([6, 8, 12])))
    gain *= 10 ** (bump_db / 20 * np.exp(-2 * np.log2(hz / bump_hz) ** 2))
    out = np.fft.irfft(np.fft.rfft(back, size) * gain, size)[:, : x.shape[1]]
    return (out / max(float(np.abs(out).max()), 1e-6)).astype(np.float32)
