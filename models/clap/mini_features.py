"""What clap-mini measures of a sound itself, beside what musicnn hears: level, tone, beat, harmony.

Three blocks of numbers for a mono sound at 22.05 kHz:

    timbre    mean, deviation and peaks of 64 log-mel bands, level, brightness, noisiness
    rhythm    onset strength in five bands: how much, how often, and how it repeats at 48 tempi
    pitch     energy of the 12 pitch classes in four registers, [4, 12], in tune with the sound

The block `pitch` turns with the key: the same music a semitone higher is the same block rolled by
one. `mini_network.KeyNet` relies on it. Cost: about .03 CPU s for 10.24 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ...audio.sound import Sound

RATE_HZ = 22050
FFT, HOP = 1024, 256
MELS = 64
BAND_EDGES_HZ = (0, 200, 800, 3000, 11025)
TEMPI_BPM = np.geomspace(40, 240, 48)
LONG_FFT, LONG_HOP = 8192, 2048
LOWEST_MIDI, REGISTERS = 33, (33, 52, 64, 76, 97)  # A1; edges of the four registers
STEPS = 5  # pitch bins a semitone, so that the tuning can be found
SHORTEST_S = 1.0
RHYTHM_SIZE = 5 * (len(TEMPI_BPM) + 5)


@dataclass(frozen=True, eq=False)
class SoundMeasurements:
    """timbre float32 [201], rhythm float32 [265], pitch float32 [4, 12] (rows sum to 1 or 0)."""

    timbre: np.ndarray
    rhythm: np.ndarray
    pitch: np.ndarray

    def plain(self) -> np.ndarray:
        """timbre and rhythm in one vector, float32 [466]."""
        return np.concatenate([self.timbre, self.rhythm])


def measure(sound: Sound) -> SoundMeasurements:
    """What is measured of `sound`; one shorter than a second is repeated to fill it."""
    samples = sound.mono_at(RATE_HZ)
    if len(samples) < SHORTEST_S * RATE_HZ:
        samples = np.resize(samples, int(SHORTEST_S * RATE_HZ))
    power = _power(samples, FFT, HOP)  # [T, 513]
    mel = power @ _mel_bank()
    logmel = np.log10(mel + 1e-8)
    return SoundMeasurements(_timbre(power, logmel, samples), _rhythm(mel), _pitch(samples))


def _power(samples: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Power spectrum, float32 [T, size / 2 + 1], of windows that scale a full sine to .25."""
    import torch

    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    window = torch.hann_window(size)
    spectrum = torch.stft(wave, size, hop, window=window, return_complex=True, pad_mode="constant")
    power = spectrum.real.square() + spectrum.imag.square()
    return (power.T / float(window.sum()) ** 2).numpy()


def _timbre(power: np.ndarray, logmel: np.ndarray, samples: np.ndarray) -> np.ndarray:
    hz = np.fft.rfftfreq(FFT, 1 / RATE_HZ).astype(np.float32)
    total = power.sum(1) + 1e-12
    centroid = np.log2((power @ hz) / total / 1000 + 0.01)
    share = total > 0.01 * total.mean()  # frames that sound
    flat = np.log10(power + 1e-12).mean(1) - np.log10(power.mean(1) + 1e-12)
    level = 10 * np.log10(total)
    rms = 10 * np.log10(float(np.mean(np.square(samples))) + 1e-12)
    peak = 20 * np.log10(float(np.abs(samples).max()) + 1e-6)
    few = [
        rms / 10, (peak - rms) / 10, level.std() / 10, np.percentile(level, 90) / 10,
        np.percentile(level, 10) / 10, centroid[share].mean(), centroid[share].std(),
        flat[share].mean(), flat[share].std(),
    ]  # fmt: skip
    bands = [logmel.mean(0), logmel.std(0), np.percentile(logmel, 95, axis=0)]
    return np.concatenate([*bands, few]).astype(np.float32)


def _rhythm(mel: np.ndarray) -> np.ndarray:
    """Onsets in all bands together and in four bands; their repetition at `TEMPI_BPM`."""
    log = np.log1p(1e4 * mel)
    rise = np.maximum(log[1:] - log[:-1], 0)  # [T, 64]
    series = np.concatenate([rise.mean(1)[:, None], rise @ _band_bank()], 1)  # [T, 5]
    found = []
    fps = RATE_HZ / HOP
    lags = 60 * fps / TEMPI_BPM
    for x in series.T:
        x = np.convolve(x, np.hanning(7)[1:-1] / np.hanning(7).sum(), "same")
        mean, spread = x.mean(), x.std() + 1e-6
        centred = x - mean
        size = 1 << (2 * len(x) - 1).bit_length()
        spectrum = np.fft.rfft(centred, size)
        repeats = np.fft.irfft(np.abs(spectrum) ** 2)[: len(x)]
        repeats = repeats / (repeats[0] + 1e-6) * (len(x) / np.arange(len(x), 0, -1)).clip(max=3)
        found.append(np.interp(lags, np.arange(len(repeats)), repeats, right=0.0))
        peaks = (x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:]) & (x[1:-1] > mean + 0.5 * spread)
        strong = (x[1:-1] > mean + 2 * spread) & peaks
        rate = fps / len(x)
        found.append([10 * mean, 10 * spread, spread / (mean + 1e-3), peaks.sum() * rate / 4,
                      strong.sum() * rate / 4])  # fmt: skip
    return np.concatenate(found).astype(np.float32)


def _pitch(samples: np.ndarray) -> np.ndarray:
    """Energy a pitch class in each register, [4, 12], pitch class C first."""
    magnitude = np.sqrt(_power(samples, LONG_FFT, LONG_HOP))
    inner = magnitude[:, 1:-1]
    tops = (inner > magnitude[:, :-2]) & (inner >= magnitude[:, 2:])  # noise has no tones
    magnitude[:, 1:-1] *= tops
    loud = magnitude.max(1, keepdims=True) + 1e-9
    fine = np.sqrt(magnitude / loud) * (magnitude > 0.01 * loud)
    weight = (loud / loud.max()) ** 0.5
    energy = (weight * fine).sum(0) @ _semitone_bank()  # [semitones * STEPS]
    by_step = energy.reshape(-1, STEPS)
    # the tuning is the circular mean of where the tones lie within their semitones
    phases = np.exp(2j * np.pi * np.arange(STEPS) / STEPS)
    off = round(float(np.angle(by_step.sum(0) @ phases)) / (2 * np.pi) * STEPS)
    centred = np.roll(energy, STEPS // 2 - off)
    semitones = centred.reshape(-1, STEPS).sum(1)
    found = np.zeros((4, 12), np.float32)
    for row, (low, high) in enumerate(pairwise(REGISTERS)):
        for midi in range(low, high):
            found[row, midi % 12] += semitones[midi - LOWEST_MIDI]
    total = found.sum(1, keepdims=True)
    return found / np.maximum(total, 1e-6)


@cache
def _mel_bank() -> np.ndarray:
    """float32 [513, 64]."""
    import librosa

    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=FFT, n_mels=MELS)
    return np.ascontiguousarray(bank.T * 40, np.float32)


@cache
def _band_bank() -> np.ndarray:
    """float32 [64, 4]: the mean over the mel bands whose centres lie in each of four bands."""
    import librosa

    centres = librosa.mel_frequencies(MELS + 2, fmax=RATE_HZ / 2)[1:-1]
    place = np.searchsorted(BAND_EDGES_HZ[1:-1], centres)
    bank = (place[:, None] == np.arange(4)).astype(np.float32)
    return np.asarray(bank / bank.sum(0))


@cache
def _semitone_bank() -> np.ndarray:
    """float32 [4097, 64 * STEPS]: each FFT bin shared between the two nearest pitch bins."""
    bins = LONG_FFT // 2 + 1
    count = (REGISTERS[-1] - LOWEST_MIDI) * STEPS
    hz = np.arange(1, bins) * RATE_HZ / LONG_FFT
    at = (69 + 12 * np.log2(hz / 440) - LOWEST_MIDI) * STEPS
    bank = np.zeros((bins, count), np.float32)
    for k, place in enumerate(at, 1):
        low = int(np.floor(place))
        for step, gain in ((low, 1 - (place - low)), (low + 1, place - low)):
            if 0 <= step < count:
                bank[k, step] += gain
    return bank
