"""Facts of a recording measured by librosa and `tempo_key.py`, for captions of music without any.

A caption of a whole track is written from these; clap-mini then gets one window of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ...audio.sound import Sound
from ...models.tags.tempo_key import estimate_tempo_key

RATE_HZ = 22050
MIN_KEY_CONFIDENCE = 0.35  # of `tempo_key.py`, from which the key is stated


@dataclass(frozen=True)
class Numbers:
    """What was measured. `tempo_bpm` and `key` are None where not measured or unclear.

    rms_db: mean level of sounding frames, dBFS. range_db: 95th less 10th percentile of the level.
    centroid_hz: median spectral centroid. onsets_hz: onsets a second. percussive: 0..1, share of
    the percussive part (HPSS) in the magnitude.
    """

    rms_db: float
    range_db: float
    centroid_hz: float
    onsets_hz: float
    percussive: float
    tempo_bpm: float | None = None
    key: str | None = None

    def plain(self) -> dict[str, float | str | None]:
        return asdict(self)


def numbers(samples: np.ndarray, tonal: bool) -> Numbers:
    """Measure mono float32 `samples` at 22.05 kHz; tempo and key only where `tonal`."""
    import librosa

    spectrum = np.abs(librosa.stft(samples, n_fft=2048, hop_length=1024))
    level = librosa.feature.rms(S=spectrum, frame_length=2048)[0]
    level_db = 20 * np.log10(level + 1e-7)
    sounding = level_db > level_db.max() - 40
    centroid = librosa.feature.spectral_centroid(S=spectrum[:, sounding], sr=RATE_HZ)[0]
    harmonic, percussive = librosa.decompose.hpss(spectrum[:512], kernel_size=13)
    share = percussive.sum() / (harmonic.sum() + percussive.sum() + 1e-9)
    onset = librosa.onset.onset_strength(
        y=samples, sr=RATE_HZ, hop_length=512, n_mels=40, n_fft=1024
    )
    seconds = len(samples) / RATE_HZ
    count = len(librosa.onset.onset_detect(onset_envelope=onset, sr=RATE_HZ, hop_length=512))
    tempo = key = None
    if tonal:
        bpm, _ = librosa.beat.beat_track(onset_envelope=onset, sr=RATE_HZ, hop_length=512)
        tempo = float(np.atleast_1d(bpm)[0]) or None
        estimate = estimate_tempo_key(Sound(samples[None], RATE_HZ))
        key = estimate.key if (estimate.key_confidence or 0) > MIN_KEY_CONFIDENCE else None
    low, high = np.percentile(level_db, [10, 95])
    return Numbers(
        rms_db=float(level_db[sounding].mean()), range_db=float(high - low),
        centroid_hz=float(np.median(centroid)), onsets_hz=count / seconds,
        percussive=float(share), tempo_bpm=tempo, key=key,
    )  # fmt: skip
