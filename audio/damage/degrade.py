"""Degradations: what recording, copying and coding do to music, each as one pure function.

Every function takes `(samples, rate_hz, level, rng)` and gives a new array of the same shape,
aligned with its input to the sample (codecs are compensated for their delay), so that the pair can
be compared by a full-reference metric. `KINDS` names them with their range of levels in natural
units; `degrade` is the way in. The same seed gives the same sound. Levels of noises are relative
to the sound itself: silence stays silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import soxr

from ...schemas.errors import AudioError, ConfigError
from .coarse_coder import coarse_coder
from .codecs import aac, mp3, opus, peak_of, vorbis
from .torn import denoise, holes, separation, sparse

Effect = Callable[[np.ndarray, int, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Degradation:
    """One kind of damage and the levels it makes sense at.

    function: the effect itself.
    mildest, worst: levels from barely audible to destructive, in `unit` (worst may be the smaller).
    logarithmic: whether levels between the two are spaced by ratio rather than by difference.
    """

    function: Effect
    mildest: float
    worst: float
    unit: str
    logarithmic: bool = False

    def at(self, severity: float) -> float:
        """The level at `severity` 0 (mildest) to 1 (worst), in `unit`."""
        if self.logarithmic:
            return float(self.mildest * (self.worst / self.mildest) ** severity)
        return float(self.mildest + (self.worst - self.mildest) * severity)


def degrade(samples: np.ndarray, rate_hz: int, kind: str, level: float, seed: int) -> np.ndarray:
    """`samples` float32 [channels, frames] damaged by `kind` at `level` (in `KINDS[kind].unit`).

    The result has the same shape, is finite and follows from the arguments alone.
    Raises ConfigError for an unknown kind, AudioError for samples that are not [channels, frames]
    or not finite.
    """
    if kind not in KINDS:
        raise ConfigError(f"degradation {kind!r} is unknown: choose one of {', '.join(KINDS)}")
    if samples.ndim != 2 or samples.size == 0:
        raise AudioError(f"samples of shape {samples.shape} cannot be degraded: [channels, frames]")
    if not np.isfinite(samples).all():
        raise AudioError("samples with NaN or infinity cannot be degraded")
    rng = np.random.default_rng(seed)
    damaged = KINDS[kind].function(np.asarray(samples, np.float32), rate_hz, level, rng)
    return np.ascontiguousarray(damaged, dtype=np.float32)


# ------------------------------------------------------------------------------------ helpers


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _shape_spectrum(
    samples: np.ndarray, rate_hz: int, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`samples` with every frequency multiplied by `gain(hz)`: a filter without phase or delay."""
    frames = samples.shape[-1]
    size = 1 << (frames + rate_hz // 4).bit_length()  # room for the filter's tail, no wrap-around
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(hz), size)[..., :frames]


def _lowpass_gain(hz: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Magnitude of an 8th-order Butterworth low-pass."""
    return 1 / np.sqrt(1 + (hz / cutoff_hz) ** 16)


def _add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`samples` plus `noise` scaled to lie `snr_db` below them (RMS over the whole sound)."""
    scale = _rms(samples) / max(_rms(noise), 1e-12) * 10 ** (-snr_db / 20)
    return samples + scale * noise


def _at_moments(frames: int, a_second: float, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Random moments, `a_second` of them a second on average and at least one, in frames."""
    count = max(1, int(rng.poisson(a_second * frames / rate_hz)))
    return np.sort(rng.integers(0, frames, count))


# ------------------------------------------------------------------------------------- noises


def white(x: np.ndarray, rate_hz: int, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of a flat spectrum, `snr_db` below the sound."""
    return _add_noise(x, rng.standard_normal(x.shape), snr_db)


def pink(x: np.ndarray, rate_hz: int, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Noise that falls by 3 dB an octave, `snr_db` below the sound."""
    noise = rng.standard_normal(x.shape)
    return _add_noise(
        x, _shape_spectrum(noise, rate_hz, lambda hz: 1 / np.sqrt(np.maximum(hz, 20))), snr_db
    )


def hiss(x: np.ndarray, rate_hz: int, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Tape hiss: noise above about 3 kHz, `snr_db` below the sound."""
    noise = rng.standard_normal(x.shape)
    return _add_noise(
        x, _shape_spectrum(noise, rate_hz, lambda hz: hz**2 / (hz**2 + 3000.0**2)), snr_db
    )


def hum(x: np.ndarray, rate_hz: int, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Mains hum: 50 or 60 Hz with eleven falling harmonics, the same in every channel."""
    t = np.arange(x.shape[1]) / rate_hz
    mains_hz = float(rng.choice([50.0, 60.0])) * (1 + 0.002 * rng.standard_normal())
    tilt = rng.uniform(0.5, 1.5)
    tone = np.zeros_like(t)
    for harmonic in range(1, 13):
        loudness = harmonic**-tilt * rng.uniform(0.3, 1)
        tone += loudness * np.sin(2 * np.pi * (harmonic * mains_hz * t + rng.uniform()))
    return _add_noise(x, np.broadcast_to(tone, x.shape), snr_db)


def crackle(x: np.ndarray, rate_hz: int, a_second: float, rng: np.random.Generator) -> np.ndarray:
    """Clicks of a worn record: decaying pulses, `a_second` of them a second."""
    out, frames = x.astype(np.float64), x.shape[1]
    for start in _at_moments(frames, a_second, rate_hz, rng):
        length = min(int(rate_hz * rng.uniform(0.0002, 0.003)) + 2, frames - start)
        pulse = rng.standard_normal(length) * np.exp(-4 * np.arange(length) / length)
        pulse /= max(np.abs(pulse).max(), 1e-9)
        side = rng.uniform(0.3, 1, (x.shape[0], 1))  # a scratch is not centred in the groove
        out[:, start : start + length] += side * pulse * peak_of(x) * rng.uniform(0.15, 0.9)
    return out


# ------------------------------------------------------------------------- time and amplitude


def wow(x: np.ndarray, rate_hz: int, percent: float, rng: np.random.Generator) -> np.ndarray:
    """Wow and flutter: the speed wanders by `percent`, around a delay that returns to zero."""
    frames = x.shape[1]
    t = np.arange(frames) / rate_hz
    delay_s = np.zeros(frames)
    for low_hz, high_hz, share in ((0.4, 2.0, 0.7), (5.0, 12.0, 0.3)):  # wow, then flutter
        speed_hz = rng.uniform(low_hz, high_hz)
        swing = np.sin(2 * np.pi * (speed_hz * t + rng.uniform()))
        delay_s += share * percent / 100 / (2 * np.pi * speed_hz) * swing
    place = np.clip(np.arange(frames) + delay_s * rate_hz, 0, frames - 1)
    # Linear interpolation at four times the rate keeps the highest octave.
    fine = np.atleast_2d(soxr.resample(x.T, rate_hz, 4 * rate_hz).T)
    grid = np.arange(fine.shape[1]) / 4
    return np.stack([np.interp(place, grid, channel) for channel in fine])


def clip(x: np.ndarray, rate_hz: int, drive_db: float, rng: np.random.Generator) -> np.ndarray:
    """Overload: `drive_db` more than what the old peak can hold, cut flat there."""
    peak = peak_of(x)
    return np.clip(x * 10 ** (drive_db / 20), -peak, peak)


def limit(x: np.ndarray, rate_hz: int, drive_db: float, rng: np.random.Generator) -> np.ndarray:
    """A limiter driven `drive_db` too hard: no flat tops, but the music pumps."""
    peak, frames = peak_of(x), x.shape[1]
    driven = x * 10 ** (drive_db / 20)
    hop = max(1, rate_hz // 1000)
    blocks = np.abs(np.pad(driven, ((0, 0), (0, -frames % hop)))).max(axis=0).reshape(-1, hop)
    loudest = blocks.max(axis=1)
    release = np.exp(-hop / rate_hz / rng.uniform(0.03, 0.25))
    envelope, level = np.empty_like(loudest), 0.0
    for i, value in enumerate(np.maximum(loudest, np.append(loudest[1:], 0))):  # looks 1 ms ahead
        level = max(float(value), level * release)
        envelope[i] = level
    gain = np.minimum(1, peak / np.maximum(envelope, 1e-12))
    smooth = np.interp(np.arange(frames), (np.arange(len(gain)) + 0.5) * hop, gain)
    return np.clip(driven * smooth, -peak, peak)


def dropout(x: np.ndarray, rate_hz: int, a_second: float, rng: np.random.Generator) -> np.ndarray:
    """Gaps of 15 to 120 ms, `a_second` of them a second, with edges of 1 ms."""
    frames = x.shape[1]
    gain = np.ones(frames)
    for start in _at_moments(frames, a_second, rate_hz, rng):
        gain[start : start + int(rate_hz * rng.uniform(0.015, 0.12))] = 0
    edge = max(1, rate_hz // 1000)
    return x * np.convolve(gain, np.full(edge, 1 / edge), mode="same")[:frames]


def bits(x: np.ndarray, rate_hz: int, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Rounding to `depth` bits of the sound's own peak, without dither (fractions allowed)."""
    step = max(peak_of(x), 1e-12) / 2 ** (depth - 1)
    return np.round(x / step) * step


def gate(x: np.ndarray, rate_hz: int, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """A noise gate in ten bands: a band is shut while it is below `threshold` times its median level.

    It opens within 5 ms and shuts within 60 to 200 ms, as gates and expanders of recorders do.
    """
    block = max(1, rate_hz // 200)
    edges = np.geomspace(60, 0.5 * rate_hz, 11)[1:-1]
    release = np.exp(-0.005 / rng.uniform(0.06, 0.2))
    out = np.zeros(x.shape)
    for low, high in pairwise([0.0, *edges, np.inf]):
        band = _shape_spectrum(x, rate_hz, partial(_between, low, high))
        padded = np.pad(band, ((0, 0), (0, -band.shape[1] % block)))
        level = np.sqrt(np.square(padded).mean(0).reshape(-1, block).mean(1))
        gain = (level > threshold * np.median(level)).astype(float)
        for k in range(1, len(gain)):
            gain[k] = max(gain[k], gain[k - 1] * release)
        out += band * np.repeat(gain, block)[: x.shape[1]]
    return out


def _between(low_hz: float, high_hz: float, hz: np.ndarray) -> np.ndarray:
    return (hz >= low_hz) & (hz < high_hz)


def reverb(x: np.ndarray, rate_hz: int, wet_db: float, rng: np.random.Generator) -> np.ndarray:
    """A room of 0.5 to 2.5 s, `wet_db` against the dry sound: the direct sound stays in place."""
    decay_s = rng.uniform(0.5, 2.5)
    t = np.arange(int(decay_s * rate_hz)) / rate_hz
    tail = rng.standard_normal((x.shape[0], len(t))) * 10 ** (-3 * t / decay_s)
    tail = _shape_spectrum(tail, rate_hz, lambda hz: _lowpass_gain(hz, 6000.0))
    size = 1 << (x.shape[1] + tail.shape[1]).bit_length()
    wet = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(tail, size), size)[:, : x.shape[1]]
    return _add_noise(x, wet, -wet_db)


def companding(x: np.ndarray, rate_hz: int, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Mu-law rounding (mu = 255) to `depth` bits (fractions allowed): noise that follows the sound."""
    peak = max(peak_of(x), 1e-12)
    return _mu_law(x / peak, 2 ** (depth - 1) - 1) * peak


def _mu_law(x: np.ndarray, steps: float) -> np.ndarray:
    """`x` of -1..1 rounded on a logarithmic scale of `steps` steps to each side."""
    pressed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    coarse = np.round(pressed * steps) / steps
    return np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255


# -------------------------------------------------------------------------------- bandwidth


def lowpass(x: np.ndarray, rate_hz: int, cutoff_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Nothing left above `cutoff_hz`."""
    return _shape_spectrum(x, rate_hz, lambda hz: _lowpass_gain(hz, cutoff_hz))


def telephone(x: np.ndarray, rate_hz: int, upper_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A band around 1 kHz up to `upper_hz`, then the 8-bit mu-law of a telephone line."""
    lower_hz = 1.0e6 / upper_hz

    def band(hz: np.ndarray) -> np.ndarray:
        return _lowpass_gain(hz, upper_hz) * (1 - _lowpass_gain(hz, lower_hz) ** 2)

    narrow = _shape_spectrum(x, rate_hz, band)
    peak = max(peak_of(narrow), 1e-12)
    return _mu_law(narrow / peak, 127) * peak


def alias(x: np.ndarray, rate_hz: int, new_rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Bad resampling: every sample held until the next at `new_rate_hz`, with no filter at all."""
    frames = x.shape[1]
    step = max(1.0, rate_hz / new_rate_hz)
    held = np.round(np.round(np.arange(frames) / step) * step).astype(np.int64)
    return x[:, np.clip(held, 0, frames - 1)]


KINDS: dict[str, Degradation] = {
    "white": Degradation(white, 45, 5, "dB below the sound"),
    "pink": Degradation(pink, 45, 5, "dB below the sound"),
    "hiss": Degradation(hiss, 50, 15, "dB below the sound"),
    "hum": Degradation(hum, 35, 0, "dB below the sound"),
    "crackle": Degradation(crackle, 0.5, 60, "clicks a second", logarithmic=True),
    "wow": Degradation(wow, 0.1, 3, "% of speed", logarithmic=True),
    "clip": Degradation(clip, 3, 30, "dB of overload"),
    "limit": Degradation(limit, 6, 30, "dB of overload"),
    "dropout": Degradation(dropout, 0.2, 6, "gaps a second", logarithmic=True),
    "bits": Degradation(bits, 11, 3, "bits"),
    "companding": Degradation(companding, 9, 3.5, "bits"),
    "holes": Degradation(holes, 0.01, 0.6, "share of patches", logarithmic=True),
    "coder": Degradation(coarse_coder, -14, 12, "dB of step above a band's level"),
    "denoise": Degradation(denoise, 1.5, 60, "times a band's quiet level", logarithmic=True),
    "gate": Degradation(gate, 0.2, 16, "times a band's median level", logarithmic=True),
    "separation": Degradation(separation, -18, 15, "dB of the other sound above this one"),
    "sparse": Degradation(sparse, 30, 1, "dB kept below a band's strongest bin"),
    "reverb": Degradation(reverb, -24, 6, "dB against the dry sound"),
    "lowpass": Degradation(lowpass, 16000, 1500, "Hz", logarithmic=True),
    "telephone": Degradation(telephone, 7000, 2000, "Hz", logarithmic=True),
    "alias": Degradation(alias, 24000, 4000, "Hz", logarithmic=True),
    "mp3": Degradation(mp3, 160, 32, "kbit/s", logarithmic=True),
    "vorbis": Degradation(vorbis, 0.5, 0, "quality 0..1"),
    "opus": Degradation(opus, 96, 8, "kbit/s a channel", logarithmic=True),
    "aac": Degradation(aac, 160, 24, "kbit/s", logarithmic=True),
}
