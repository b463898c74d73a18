"""The log-mel of AudioLDM, exact, and the way back to a wave without a network.

    16 kHz mono; frames of 1024 samples every 160 (10 ms) under a Hann window; magnitude, not power;
    64 bands of the slaney mel scale over 0..8000 Hz, each of area 1; ln(max(., 1e-5))

A wave of N samples is reflected by 432 at each end and not centred, so that it has N / 160 frames:
10.24 s, 163,840 samples, are 1024 frames. Frame i is centred on sample 160 i + 80. A sound that is
too short is filled up as a wave (`fitted`), never as a mel. All of it is computed in float64: under
a loud tone the bands far from it hold less than float32 can tell from rounding. On the CPU waves
are computed one by one: a product of another batch size may differ in its last bits, whatever the
processor, and no row shall depend on its batch.

Source: AudioLDM (arXiv 2301.12503) as used by QA-MDT; the scale of Slaney, Auditory Toolbox, 1998;
the way back: Lee and Seung 2001 for the magnitudes, Griffin and Lim 1984 with the momentum of
Perraudin et al. 2013 for the phases.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..schemas.errors import AudioError

RATE_HZ = 16_000
FFT, HOP, BANDS, HIGHEST_HZ = 1024, 160, 64, 8000.0
FLOOR = 1e-5
SILENCE = float(np.log(FLOOR))  # -11.513, the log-mel of nothing
EDGE = (FFT - HOP) // 2  # samples reflected at each end
LOUDEST = 0.5  # peak of a wave after `normalised`
ITERATIONS, MOMENTUM = 32, 0.99


def normalised(wave: Tensor) -> Tensor:
    """Waves [B, N] without their mean, their peak at 0.5; silence stays silence."""
    centred = wave - wave.mean(-1, keepdim=True)
    return centred / (centred.abs().amax(-1, keepdim=True) + 1e-8) * LOUDEST


def fitted(wave: Tensor, samples: int) -> Tensor:
    """Waves [B, N] filled with zeros to `samples`. Raises AudioError where they are longer."""
    missing = samples - wave.shape[-1]
    if missing < 0:
        raise AudioError(
            f"a wave of {wave.shape[-1] / RATE_HZ:.2f} s does not fit into {samples / RATE_HZ:.2f} s"
        )
    return torch.nn.functional.pad(wave, (0, missing))


def log_mel(wave: Tensor) -> Tensor:
    """ln-magnitude mel float32 [B, N // 160, 64] of waves [B, N] at 16 kHz, nominally -1..1.

    Raises AudioError for waves of another rank, or of fewer samples than a frame.
    """
    if wave.ndim != 2 or wave.shape[1] < FFT:
        raise AudioError(
            f"waves of shape {tuple(wave.shape)} have no mel: expected [B, N], N at least {FFT}"
        )
    return row_by_row(_log_mel, wave)


def row_by_row(compute: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """`compute` of a batch [B, ...], on the CPU of each row alone: the bits of a row are its own."""
    if batch.device.type != "cpu" or len(batch) < 2:
        return compute(batch)
    return torch.cat([compute(row[None]) for row in batch])


def _log_mel(wave: Tensor) -> Tensor:
    mel = torch.einsum("bft,mf->btm", magnitude(wave), filterbank().to(wave.device))
    return mel.clamp_min(FLOOR).log().float()


def magnitude(wave: Tensor) -> Tensor:
    """Spectral magnitudes float64 [B, 513, N // 160] of waves [B, N]."""
    from torchaudio.functional import spectrogram

    wave = wave.double()
    wave = torch.nn.functional.pad(wave[:, None], (EDGE, EDGE), mode="reflect")[:, 0]
    return spectrogram(
        wave, 0, _window(wave), FFT, HOP, FFT, power=1.0, normalized=False, center=False
    )


def magnitude_of_mel(mel: Tensor, iterations: int = 30) -> Tensor:
    """Magnitudes float32 [B, 513, T] whose mel comes near to a log-mel [B, T, 64].

    Non-negative least squares by multiplicative updates, from the mel spread over its filters.
    """
    bank = filterbank().to(mel.device).float()  # [64, 513]
    wanted = mel.float().exp().transpose(1, 2)  # [B, 64, T]
    share = bank / bank.sum(0).clamp_min(1e-9)  # of each band at a frequency
    estimate = (share.T @ (wanted / bank.sum(1)[:, None])).clamp_min(1e-9)
    target = bank.T @ wanted
    for _ in range(iterations):
        estimate = estimate * target / (bank.T @ (bank @ estimate)).clamp_min(1e-12)
    return estimate


def griffin_lim(magnitudes: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Waves float32 [B, 160 T] with about the magnitudes [B, 513, T] that `magnitude` gives.

    Phases start from zero: random ones gave no nearer mel and no better p-MOS, and would need a
    seed.
    """
    from torchaudio.functional import griffinlim

    # One frame more at each end: a centred frame i lies on sample 160 i, ours on 160 i + 80.
    framed = torch.cat([magnitudes[..., :1], magnitudes, magnitudes[..., -1:]], -1).float()
    wave = griffinlim(
        framed, _window(framed), FFT, HOP, FFT, 1.0, iterations, MOMENTUM, None, False
    )
    return wave[:, HOP // 2 : HOP // 2 + HOP * magnitudes.shape[-1]]


def inverted(mel: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Waves float32 [B, 160 T] of log-mels [B, T, 64], by Griffin-Lim alone."""
    return row_by_row(lambda one: griffin_lim(magnitude_of_mel(one), iterations), mel)


@cache
def filterbank() -> Tensor:
    """The mel filters, float64 [64, 513]: triangles of area 1 over frequency, slaney's scale."""
    hz = np.fft.rfftfreq(FFT, 1 / RATE_HZ)
    edges = _hz_of_mel(np.linspace(0, _mel_of_hz(HIGHEST_HZ), BANDS + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy(triangles * 2 / (high - low))


def _mel_of_hz(hz: float) -> float:
    """Slaney's scale: 200 / 3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else float(15 + 27 * np.log(hz / 1000) / np.log(6.4))


def _hz_of_mel(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(FFT, dtype=like.dtype, device=like.device)
