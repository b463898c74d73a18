"""Tempo and key of a sound, heard by signal processing alone.

Tempo: the onset strength (librosa's spectral flux) is autocorrelated; the lag that repeats best,
weighted by how common its tempo is, is the beat. Key: the energy of the twelve pitch classes is
correlated with the profiles of Albrecht and Shanahan (2013, Music Perception 31) in all 24 major
and minor keys. Both are estimates: a tempo may come out doubled or halved, a key as its relative
or its dominant. Where nothing is heard (silence, no onsets) the value is None.

Cost: about .02 CPU s for 10 s of sound, after numba has warmed up. The settings were chosen on 90
passages of Bach chorales and fiddle tunes in random orchestrations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ...audio.sound import Sound

RATE_HZ = 22050
FFT = 4096
ONSET_HOP = 256  # 12 ms
CHROMA_HOP = 2048
TEMPO_BPM = (40.0, 220.0)
USUAL_BPM, SPREAD_OCTAVES = 115.0, 0.9  # a log-normal prior decides between half and double
SILENT_RMS = 1e-4  # -80 dBFS

NAMES = ("C", "C-sharp", "D", "E-flat", "E", "F", "F-sharp", "G", "A-flat", "A", "B-flat", "B")
MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
HARMONIC_GAIN = 0.3  # of each harmonic over the one below it
CLEAR_LEAD = 0.07
KEYS = tuple(f"{n} major" for n in NAMES) + tuple(f"{n} minor" for n in NAMES)


@dataclass(frozen=True)
class Tonal:
    """What was heard; None where nothing was.

    tempo_bpm: beats a minute, 40..220. tempo_confidence: 0..1, how much of the onset strength
    repeats at the beat. key: one of `KEYS`. key_confidence: 0..1, the correlation with its profile
    times 1 - exp(-lead / .07), the lead being over the next best key.
    """

    tempo_bpm: float | None = None
    tempo_confidence: float | None = None
    key: str | None = None
    key_confidence: float | None = None


def estimate_tempo_key(sound: Sound) -> Tonal:
    """Tempo and key of `sound`; a Tonal of None for silence. The same sound, the same answer."""
    samples = sound.mono_at(RATE_HZ)
    if len(samples) < RATE_HZ or not np.isfinite(samples).all():
        return Tonal()
    if math.sqrt(float(np.mean(np.square(samples)))) < SILENT_RMS:
        return Tonal()
    tempo, tempo_confidence = _tempo(samples)
    key, key_confidence = _key(samples)
    return Tonal(tempo, tempo_confidence, key, key_confidence)


def _tempo(samples: np.ndarray) -> tuple[float | None, float | None]:
    """(beats a minute, confidence): the period whose first four multiples repeat best."""
    import librosa

    onsets = librosa.onset.onset_strength(
        y=samples, sr=RATE_HZ, hop_length=ONSET_HOP, n_fft=1024, n_mels=40
    )
    onsets = onsets - onsets.mean()
    repeats = librosa.autocorrelate(onsets)  # [lags]
    if repeats[0] < 1e-6:
        return None, None
    repeats = repeats / repeats[0]
    bpm = np.geomspace(*TEMPO_BPM, 600)
    frames = 60 * RATE_HZ / ONSET_HOP / bpm  # of one beat
    lags = frames[:, None] * np.arange(1, 5)  # [bpm, multiples]
    clear = np.interp(lags, np.arange(len(repeats)), repeats, right=0.0).mean(1)
    prior = np.exp(-0.5 * (np.log2(bpm / USUAL_BPM) / SPREAD_OCTAVES) ** 2)
    best = int(np.argmax(clear * prior))
    if clear[best] <= 0:
        return None, None
    return float(bpm[best]), float(min(clear[best], 1.0))


def _key(samples: np.ndarray) -> tuple[str | None, float | None]:
    """(key, confidence): the profile that the pitch classes correlate with best."""
    import librosa

    spectrum = np.abs(librosa.stft(samples, n_fft=FFT, hop_length=CHROMA_HOP))
    chroma = _chroma_bank() @ spectrum.mean(1)  # [12]
    if chroma.std() < 1e-6 * max(chroma.max(), 1e-12):
        return None, None
    correlations = np.array([np.corrcoef(chroma, profile)[0, 1] for profile in _profiles()])
    second, first = np.sort(correlations)[-2:]
    if first <= 0:
        return None, None
    return KEYS[int(correlations.argmax())], float(
        first * -math.expm1(-(first - second) / CLEAR_LEAD)
    )


@cache
def _profiles() -> np.ndarray:
    """float [24, 12]: what each of `KEYS` sounds like, from pitch class C on.

    A tone sounds at its harmonics too: the third is a fifth up, the fifth a major third. So each
    profile is spread over them; without that most keys come out as their dominant.
    """
    spread = np.zeros(12)
    for harmonic in range(1, 7):
        spread[round(12 * math.log2(harmonic)) % 12] += HARMONIC_GAIN ** (harmonic - 1)
    return np.array(
        [
            sum(gain * np.roll(mode, tonic + up) for up, gain in enumerate(spread))
            for mode in (MAJOR, MINOR)
            for tonic in range(12)
        ]
    )


@cache
def _chroma_bank() -> np.ndarray:
    """float32 [12, bins]: the share of each FFT bin in each pitch class, 50 Hz to 1.1 kHz."""
    import librosa

    bank = librosa.filters.chroma(sr=RATE_HZ, n_fft=FFT, ctroct=3.5, octwidth=1.0)
    hz = np.arange(bank.shape[1]) * RATE_HZ / FFT
    return (bank * ((hz > 50) & (hz < 1100))).astype(np.float32)
