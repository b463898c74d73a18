"""How much of a sound survives a codec: measured beside Griffin-Lim on the sound's own mel.

    mel_l1   mean |difference| of log-mels: of the autoencoder alone
    stft     spectral convergence + log-magnitude L1, mean over three resolutions, of the wave
             (Yamamoto et al. 2020, arXiv 1910.11480, eq. 4-6)
    pmos     p-MOS of the wave

The wave is the one that the codec hears: mono, 16 kHz, its peak at 0.5. What it costs to leave the
true mel is the difference of `codec` and `mel`; what the 16 kHz and the vocoder cost is in both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...audio import mel as front
from ...audio.sound import Sound
from ...models.pmos.base import PmosModel
from .base import DOWN, Codec, GriffinLim

RESOLUTIONS = (512, 1024, 2048)  # FFT and window; a quarter of it between frames


@dataclass(frozen=True)
class RoundTrip:
    """One sound through the codec. Names ending in _mel: Griffin-Lim on the true mel instead."""

    name: str
    mel_l1: float
    stft: float
    stft_mel: float
    pmos: float
    pmos_mel: float
    pmos_wave: float
    latent_mean: float
    latent_std: float


def round_trip(codec: Codec, wave: np.ndarray, name: str, pmos: PmosModel) -> RoundTrip:
    """Measure one wave [N] at 16 kHz; what is over a multiple of 40 ms is left out."""
    samples = len(wave) // (front.HOP * DOWN) * front.HOP * DOWN
    given = front.normalised(torch.from_numpy(np.ascontiguousarray(wave[:samples]))[None])
    mel = front.log_mel(given)
    latent = codec.encode(given)
    again = codec.decode(latent)
    back, plain = codec.vocode(again), GriffinLim()(mel)
    sounds = [Sound(w.numpy().astype(np.float32), front.RATE_HZ) for w in (back, plain, given)]
    scores = [float(s) for s in pmos.score(sounds)]
    return RoundTrip(
        name=name,
        mel_l1=float((again - mel).abs().mean()),
        stft=stft_distance(back, given),
        stft_mel=stft_distance(plain, given),
        pmos=scores[0],
        pmos_mel=scores[1],
        pmos_wave=scores[2],
        latent_mean=float(latent.mean()),
        latent_std=float(latent.std()),
    )


def stft_distance(made: Tensor, true: Tensor) -> float:
    """Spectral convergence + log-magnitude L1 of waves [B, N], mean over RESOLUTIONS."""
    total = 0.0
    for size in RESOLUTIONS:
        window = torch.hann_window(size)
        a, b = (
            torch.stft(w.float(), size, size // 4, window=window, return_complex=True).abs()
            for w in (made, true)
        )
        convergence = torch.linalg.norm(b - a) / torch.linalg.norm(b).clamp_min(1e-9)
        logs = (a.clamp_min(1e-5).log() - b.clamp_min(1e-5).log()).abs().mean()
        total += float(convergence + logs)
    return total / len(RESOLUTIONS)


def times_real_time(codec: Codec, seconds: float = 10.24, repeats: int = 7) -> float:
    """Seconds of sound encoded in a second, mel included: the median of some runs on noise."""
    samples = round(seconds * front.RATE_HZ)
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, samples)))
    codec.encode(wave.float())
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        codec.encode(wave.float())
        took.append(time.perf_counter() - start)
    return seconds / float(np.median(took))


def summary(trips: Sequence[RoundTrip]) -> dict[str, float]:
    """The mean of every number."""
    names = [n for n in RoundTrip.__dataclass_fields__ if n != "name"]
    return {n: float(np.nanmean([getattr(t, n) for t in trips])) for n in names}
