"""Signal measurements: what the samples of one window show, without any model.

Levels are relative to full scale 1.0 (a full-scale sine has -3.01 dBFS RMS). Nothing here returns
NaN or infinity: what cannot be measured (the level of digital silence, say) is None.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .loudness import integrated_loudness
from .sound import Sound

SILENCE_FRAME_S = 0.05
SILENCE_DBFS = -60.0

FLAT = 2 / 32768  # a clipped top may ripple by two 16-bit steps (rounding, dither)
FLAT_SAMPLES = 3  # two equal samples at the top happen in any tone
SHOULDER = 10 * FLAT  # beside a flat top the signal falls by more: a slow tone's own top does not
CLIPPING_FLOOR = 0.01  # quieter maxima are made of few 16-bit steps: flat without being clipped

PEAK_BLOCK = 240  # samples that are oversampled together, or not at all

FFT = 4096  # 93 ms at 44.1 kHz
BANDWIDTH_DB = -70.0  # below the loudest bin of the long-term spectrum
SKIRT_DB = 5.0  # a fall of 20 dB an octave, over a quarter of one, is a filter's


@dataclass(frozen=True)
class Measurements:
    """What `measure` finds in a window.

    silence_ratio: share of 50 ms frames with RMS below -60 dBFS, 0..1.
    rms_dbfs, peak_dbfs: over all channels. None for digital silence.
    true_peak_dbtp: peak after 4x oversampling (ITU-R BS.1770, annex 2).
    clipping_ratio: share of samples in flat tops, 0..1, at whatever level they lie.
    loudness_lufs: integrated loudness. None where all is gated out, or under 0.4 s.
    bandwidth_hz: the highest frequency with signal, without a low-pass filter's skirt.
    dc_offset: the mean of the channel whose mean is farthest from 0; full scale is 1.
    stereo_correlation: of the first two channels, -1..1. None for mono or a constant channel.
    pcm_sha256: of the samples at 16 bit, the rate and the channels: the same for the same audio in
        any lossless file, however named or tagged.
    """

    silence_ratio: float
    rms_dbfs: float | None
    peak_dbfs: float | None
    true_peak_dbtp: float | None
    clipping_ratio: float
    loudness_lufs: float | None
    bandwidth_hz: float | None
    dc_offset: float
    stereo_correlation: float | None
    pcm_sha256: str


def measure(sound: Sound) -> Measurements:
    """All measurements of one window of at least one frame."""
    samples, rate_hz = np.ascontiguousarray(sound.samples, dtype=np.float32), sound.rate_hz
    peak = float(max(samples.max(), -samples.min()))
    return Measurements(
        silence_ratio=_silence_ratio(samples, rate_hz),
        rms_dbfs=_db(math.sqrt(_power(samples))),
        peak_dbfs=_db(peak),
        true_peak_dbtp=_db(_peak_between(samples, peak)),
        clipping_ratio=sum(_flat_samples(channel) for channel in samples) / samples.size,
        loudness_lufs=integrated_loudness(samples, rate_hz),
        bandwidth_hz=_bandwidth_hz(samples, rate_hz),
        dc_offset=float(max(samples.mean(axis=1, dtype=np.float64), key=abs)),
        stereo_correlation=_correlation(samples),
        pcm_sha256=_pcm_sha256(samples, rate_hz),
    )


def _db(amplitude: float) -> float | None:
    return 20 * math.log10(amplitude) if amplitude > 0 else None


def _power(samples: np.ndarray) -> float:
    return float(np.square(samples).mean(dtype=np.float64))


def _silence_ratio(samples: np.ndarray, rate_hz: int) -> float:
    frame = min(samples.shape[1], max(1, round(SILENCE_FRAME_S * rate_hz)))
    count = samples.shape[1] // frame  # a rest shorter than a frame belongs to none
    frames = samples[:, : count * frame].reshape(samples.shape[0], count, frame)
    power = np.square(frames).mean(axis=(0, 2))
    return float((power < 10 ** (SILENCE_DBFS / 10)).mean())


def _peak_between(samples: np.ndarray, peak: float) -> float:
    """The largest absolute value at the three points between each two samples; `peak` if none is.

    An interpolated value is at most sum(|taps|) times the largest sample it is made of, so blocks
    whose samples are too small for it to pass `peak` are left out.
    """
    import torch

    taps = _between()
    reach = taps.shape[1]
    starts = samples.shape[1] // PEAK_BLOCK + 1
    padded = np.pad(samples, ((0, 0), (reach // 2, starts * PEAK_BLOCK - samples.shape[1] + reach)))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, PEAK_BLOCK + reach, axis=1)
    blocks = blocks[:, ::PEAK_BLOCK][:, :starts].reshape(-1, PEAK_BLOCK + reach)
    high = np.maximum(blocks.max(axis=1), -blocks.min(axis=1))
    loud = torch.from_numpy(blocks[high * np.abs(taps).sum(axis=1).max() > peak])
    if len(loud) == 0:
        return peak
    between = torch.nn.functional.conv1d(loud[:, None], torch.from_numpy(taps)[:, None])
    return max(peak, float(between.abs().max()))


@lru_cache(maxsize=1)
def _between() -> np.ndarray:
    """Interpolators for 1/4, 2/4 and 3/4 of a sample on: Kaiser-windowed sinc, float32 [3, 16]."""
    place = np.arange(-7, 9)[None, :] - np.array([[0.25], [0.5], [0.75]])
    taps = np.sinc(place) * np.i0(5.0 * np.sqrt(1 - (place / 8) ** 2)) / np.i0(5.0)
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)


def _flat_samples(channel: np.ndarray) -> int:
    """Samples of one channel that lie in flat tops at its maximum or its minimum."""
    return sum(
        _flat_tops(side, top)
        for side, top in ((channel, float(channel.max())), (-channel, float(-channel.min())))
        if top >= CLIPPING_FLOOR
    )


def _flat_tops(side: np.ndarray, top: float) -> int:
    high = np.flatnonzero(side >= top - FLAT)
    breaks = np.flatnonzero(np.diff(high) > 1)
    first = high[np.concatenate([[0], breaks + 1])]
    behind = high[np.concatenate([breaks, [high.size - 1]])] + 1
    left = np.where(first > 0, side[first - 1], top)
    right = np.where(behind < side.size, side[np.minimum(behind, side.size - 1)], top)
    length = behind - first
    flat = (length >= FLAT_SAMPLES) & (np.minimum(left, right) <= top - SHOULDER)
    return int(length[flat].sum())


def _bandwidth_hz(samples: np.ndarray, rate_hz: int) -> float | None:
    """Where the long-term spectrum ends: its last bin within 70 dB of its peak, less the skirt."""
    spectrum_db = _spectrum_db(samples)
    if spectrum_db is None:
        return None
    bin_hz = rate_hz / FFT
    edge_hz = float(np.flatnonzero(spectrum_db >= spectrum_db.max() + BANDWIDTH_DB)[-1]) * bin_hz
    if edge_hz > 0.49 * rate_hz:
        return edge_hz  # no filter in sight

    def level(hz: float) -> float:
        return float(spectrum_db[int(hz * 0.98 / bin_hz) : int(hz * 1.02 / bin_hz) + 1].mean())

    while edge_hz > 10 * bin_hz and level(edge_hz * 2**-0.25) - level(edge_hz) > SKIRT_DB:
        edge_hz *= 2 ** (-1 / 24)
    return edge_hz


def _spectrum_db(samples: np.ndarray) -> np.ndarray | None:
    """Mean power spectrum over channels and Hann frames, [FFT / 2 + 1], smoothed over 7 bins."""
    from scipy.fft import rfft

    frames = max(1, samples.shape[1] // FFT)
    part = samples[:, : frames * FFT]
    part = np.pad(part, ((0, 0), (0, frames * FFT - part.shape[1])))
    part = part - part.mean(axis=1, keepdims=True)
    windowed = part.reshape(len(samples), frames, FFT) * np.hanning(FFT).astype(np.float32)
    spectrum = rfft(windowed, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=(0, 1), dtype=np.float64)
    if power.max() <= 0:
        return None
    smooth = np.convolve(power, np.full(7, 1 / 7), "same")
    return 10 * np.log10(np.maximum(smooth, smooth.max() * 1e-20))


def _correlation(samples: np.ndarray) -> float | None:
    if len(samples) < 2:
        return None
    left, right = (side - side.mean(dtype=np.float64) for side in samples[:2])
    power = math.sqrt(float(left @ left) * float(right @ right))
    if power <= 1e-12 * left.size:
        return None
    return max(-1.0, min(1.0, float(left @ right) / power))


def _pcm_sha256(samples: np.ndarray, rate_hz: int) -> str:
    steps = samples * np.float32(32768)
    np.clip(np.rint(steps, out=steps), -32768, 32767, out=steps)
    about = f"{rate_hz} Hz, {len(samples)} channels, 16 bit, channel after channel\n".encode()
    return hashlib.sha256(about + steps.astype("<i2").tobytes()).hexdigest()
