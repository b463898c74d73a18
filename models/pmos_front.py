"""What the p-MOS network hears: 128 log-mel bands and 20 cues of damage, 50 frames a second.

Everything is a channel over time, so any length gives the same kind of input and a window is a
slice. The level of the sound is taken out first. The cues are for what a spectrogram blurs: flat
tops, clicks, gaps, held samples, mains hum.

Shapes: B sounds, T samples, N = T // 960 frames.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torchaudio

RATE_HZ = 48000
HOP = 960  # 20 ms
FFT = 2048
MELS = 128
CUES = 20
MIN_S = 1.0
BLOCK = 120  # 2.5 ms, eight a frame
HUM_BASES_HZ = [base * (1 + cents) for base in (50.0, 60.0) for cents in
                (-0.004, -0.002, 0.0, 0.002, 0.004)]  # fmt: skip


def features(waves: torch.Tensor) -> torch.Tensor:
    """float32 [B, MELS + CUES, N] of `waves` float32 [B, T] mono at RATE_HZ, T >= 1 s.

    Row by row: a row depends on its own wave alone. Silence gives finite numbers.
    """
    frames = waves.shape[1] // HOP
    waves = waves[:, : frames * HOP]
    waves = waves / waves.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    channels = [_log_mel(waves, frames), _block_cues(waves, frames), _edge_cues(waves, frames),
                _hum_cues(waves, frames)]  # fmt: skip
    return torch.cat(channels, 1)


@lru_cache(maxsize=1)
def _mel_filters() -> torch.Tensor:
    return torchaudio.functional.melscale_fbanks(
        FFT // 2 + 1, 0.0, RATE_HZ / 2, MELS, RATE_HZ, norm="slaney", mel_scale="slaney"
    ).T.contiguous()  # [MELS, FFT / 2 + 1]


@lru_cache(maxsize=4)
def _window(size: int) -> torch.Tensor:
    return torch.hann_window(size)


def _log_mel(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """log10 of mel power, the whole sound having RMS 1, scaled to about -2..1: [B, MELS, N]."""
    spectrum = torch.stft(
        waves, FFT, HOP, window=_window(FFT), center=True, pad_mode="constant", return_complex=True
    )[..., :frames]
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.log10(_mel_filters() @ power / FFT + 1e-10) / 3 + 1


def _log(x: torch.Tensor, floor: float = 1e-8) -> torch.Tensor:
    return torch.log10(x + floor)


def _block_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Seven cues from the energy of 2.5 ms blocks and from the height of peaks: [B, 7, N]."""
    blocks = waves.view(len(waves), frames, HOP // BLOCK, BLOCK).square().mean(3)  # [B, N, 8]
    energy = _log(blocks)
    loud = energy.amax(2)
    before = torch.nn.functional.pad(energy.flatten(1), (1, 0), mode="replicate")[:, :-1]
    jumps = (energy.flatten(1) - before).view_as(energy)
    height = waves.abs()
    top = height.amax(1, keepdim=True).clamp_min(1e-6)
    relative = (height / top).view(len(waves), frames, HOP)
    near = (relative > 0.97).float().mean(2)
    high = (relative > 0.85).float().mean(2)
    peak = height.view(len(waves), frames, HOP).amax(2)
    cues = [
        loud / 4, energy.amin(2) / 4, jumps.amax(2) / 4, jumps.amin(2) / 4,
        _log(near, 1e-3) + 2, _log(high, 1e-3) + 2, _log(peak, 1e-4) - loud / 2,
    ]  # fmt: skip
    return torch.stack(cues, 1)


def _edge_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Seven cues from differences of samples: clicks, flat tops, held values: [B, 7, N]."""
    first = torch.nn.functional.pad(waves.diff(dim=1), (1, 0))
    third = torch.nn.functional.pad(waves.diff(n=3, dim=1), (3, 0))

    def framed(x: torch.Tensor) -> torch.Tensor:
        return x.abs().view(len(x), frames, HOP)

    step, bend = framed(first), framed(third)
    usual = bend.mean(2)  # what is normal in this frame
    ordinary = usual.mean(1, keepdim=True).clamp_min(1e-6)  # and in the whole sound
    sharpest = bend.amax(2)
    height = framed(waves)
    still = step < 0.02 * step.mean(2, keepdim=True).clamp_min(1e-7)
    flat = (still & (height > 0.6 * height.amax(2, keepdim=True))).float().mean(2)
    crossings = (waves[:, 1:] * waves[:, :-1] < 0).float()
    crossings = torch.nn.functional.pad(crossings, (1, 0)).view(len(waves), frames, HOP).mean(2)
    cues = [
        _log(usual) / 3, _log(sharpest / ordinary, 1e-4),
        _log(sharpest / usual.clamp_min(1e-6), 1e-4), still.float().mean(2),
        _log(flat, 1e-3) + 2, crossings, _log(step.mean(2)) / 3,
    ]  # fmt: skip
    return torch.stack(cues, 1)


def _hum_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Six cues of a comb at 50 or 60 Hz, from windows of one second twice a second: [B, 6, N].

    A comb counts by how far its teeth stand above the valleys beside them, and by its power.
    """
    windows = waves.unfold(1, RATE_HZ, RATE_HZ // 2)  # [B, W, one second]
    low = torch.fft.rfft(windows * _window(RATE_HZ))[..., :1300]  # 1 Hz a bin
    power = (low.real.square() + low.imag.square()) / RATE_HZ
    cues = []
    for base in (0, 5):
        bases = torch.tensor(HUM_BASES_HZ[base : base + 5])
        teeth = torch.round(bases[:, None] * torch.arange(1, 13)).long()  # [5, 12]
        # Hann's main lobe is four bins wide: a tooth is three bins, a valley five to eight away.
        tooth = sum(power[..., teeth + d] for d in (-1, 0, 1))
        valley = sum(power[..., teeth + d] for d in (-8, -7, -6, -5, 5, 6, 7, 8)) * (3 / 8)
        above = (_log(tooth, 1e-7) - _log(valley, 1e-7)).clamp(-1, 4)  # [B, W, 5, 12]
        cues += [above.mean(3).amax(2), above.amin(3).amax(2), _log(tooth.sum(3).amax(2)) / 3]
    at = (torch.arange(frames) * HOP * 2 // RATE_HZ).clamp(max=windows.shape[1] - 1)
    return torch.stack(cues, 1)[..., at]  # each frame takes the window that begins nearest before
