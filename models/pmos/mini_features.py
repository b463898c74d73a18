"""What the p-MOS network hears: 128 log-mel bands and 133 cues of damage, 50 frames a second.

Everything is a channel over time, so any length gives the same kind of input and a window is a
slice. The level of the sound is taken out first. The cues are for what a spectrogram blurs: flat
tops, clicks, gaps, held samples, mains hum, a pitch that wanders for all partials at once, and the
texture of the spectrum (`mini_texture.py`: noise fills it, a codec or a denoiser tears holes).

Shapes: B sounds, T samples, N = T // 960 frames.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torchaudio

from . import mini_texture
from .mini_texture import TEXTURES, flatness, spectrum, textures

VERSION = 4  # of what `features` gives; stored features of another version are made again
RATE_HZ = mini_texture.RATE_HZ  # 48 kHz
HOP = mini_texture.LONG_HOP  # 20 ms
FFT = mini_texture.LONG_FFT
MELS = 128
BASIC_CUES = 42  # without textures and attacks of the treble, for networks of before
CUES = BASIC_CUES + TEXTURES + 3
MIN_S = 1.0
BLOCK = 120  # 2.5 ms, eight a frame
SLOWER = 20  # to 2400 Hz, for hum
TO_8K = 6
PITCH_FFT = 1024  # 128 ms at 8 kHz
PITCH_BINS = (20, 320)  # 156 to 2500 Hz
HUM_BASES_HZ = [base * (1 + cents) for base in (50.0, 60.0) for cents in
                (-0.004, -0.002, 0.0, 0.002, 0.004)]  # fmt: skip


def features(waves: torch.Tensor, cues: int = CUES) -> torch.Tensor:
    """float32 [B, MELS + cues, N] of `waves` float32 [B, T] mono at RATE_HZ, T >= 1 s.

    cues: CUES, or BASIC_CUES to leave the textures out. Row by row: a row depends on its own wave
    alone. Silence gives finite numbers.
    """
    frames = waves.shape[1] // HOP
    rows = [_features(wave[None, : frames * HOP], frames, cues > BASIC_CUES) for wave in waves]
    return torch.cat(rows)


def _features(waves: torch.Tensor, frames: int, textured: bool) -> torch.Tensor:
    """`features` of one wave [1, T]: one at a time stays in the processor's cache."""
    waves = waves / waves.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    power = _power(waves, frames)
    long = spectrum(power[0])
    channels = [_log_mel(power), _block_cues(waves, frames), _edge_cues(waves, frames),
                _hum_cues(waves, frames), _pitch_cues(waves, frames), flatness(long)]  # fmt: skip
    if textured:
        channels += [textures(long, waves[0]), _treble_cues(waves, frames)]
    return torch.cat(channels, 1)


@lru_cache(maxsize=1)
def _mel_filters() -> torch.Tensor:
    return torchaudio.functional.melscale_fbanks(
        FFT // 2 + 1, 0.0, RATE_HZ / 2, MELS, RATE_HZ, norm="slaney", mel_scale="slaney"
    )  # [FFT / 2 + 1, MELS]


@lru_cache(maxsize=4)
def _window(size: int) -> torch.Tensor:
    return torch.hann_window(size)


def _power(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Short-time power spectrum, [B, N, FFT / 2 + 1]."""
    padded = torch.nn.functional.pad(waves, (FFT // 2, FFT // 2))
    spectrum = torch.fft.rfft(padded.unfold(1, FFT, HOP)[:, :frames] * _window(FFT))
    return (spectrum.real.square() + spectrum.imag.square()) / FFT


def _log_mel(power: torch.Tensor) -> torch.Tensor:
    """log10 of mel power, the whole sound having RMS 1, scaled to about -2..1: [B, MELS, N]."""
    return torch.log10(power @ _mel_filters() + 1e-10).transpose(1, 2) / 3 + 1


def _log(x: torch.Tensor, floor: float = 1e-8) -> torch.Tensor:
    return torch.log10(x + floor)


def _block_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Seven cues from the energy of 2.5 ms blocks and from the height of peaks: [B, 7, N]."""
    blocks = waves.view(len(waves), frames, HOP // BLOCK, BLOCK).square().mean(3)  # [B, N, 8]
    energy = _log(blocks)
    loud = energy.amax(2)
    before = torch.nn.functional.pad(energy.flatten(1), (1, 0), mode="replicate")[:, :-1]
    jumps = (energy.flatten(1) - before).view_as(energy)
    height = waves.abs().view(len(waves), frames, HOP)
    top = height.amax((1, 2), keepdim=True).clamp_min(1e-6)
    near, high = _share(height > 0.97 * top), _share(height > 0.85 * top)
    peak = height.amax(2)
    cues = [
        loud / 4, energy.amin(2) / 4, jumps.amax(2) / 4, jumps.amin(2) / 4,
        _log(near, 1e-3) + 2, _log(high, 1e-3) + 2, _log(peak, 1e-4) - loud / 2,
    ]  # fmt: skip
    return torch.stack(cues, 1)


def _edge_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Seven cues from differences of samples: clicks, flat tops, held values: [B, 7, N]."""
    third = waves.diff(n=3, dim=1).abs()
    bend = torch.nn.functional.pad(third, (3, 0)).view(len(waves), frames, HOP)
    usual = bend.mean(2)  # what is normal in this frame
    ordinary = usual.mean(1, keepdim=True).clamp_min(1e-6)  # and in the whole sound
    sharpest = bend.amax(2)
    one, two = waves.view(len(waves), frames, HOP // 2, 2).unbind(3)  # pairs: half the work
    step, height = (two - one).abs(), two.abs()
    ordinary_step = step.mean(2, keepdim=True)
    still = step < 0.02 * ordinary_step.clamp_min(1e-7)
    flat = still & (height > 0.6 * height.amax(2, keepdim=True))
    cues = [
        _log(usual) / 3, _log(sharpest / ordinary, 1e-4),
        _log(sharpest / usual.clamp_min(1e-6), 1e-4), _share(still),
        _log(_share(flat), 1e-3) + 2, _share(one * two < 0), _log(ordinary_step[..., 0]) / 3,
    ]  # fmt: skip
    return torch.stack(cues, 1)


def _treble_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Three cues from the treble's energy in 2.5 ms blocks, against its least: attacks that a codec
    smears forwards: [B, 3, N]."""
    bend = torch.nn.functional.pad(waves.diff(n=3, dim=1), (3, 0))
    energy = _log(bend.view(len(waves), frames, HOP // BLOCK, BLOCK).square().mean(3))
    before = torch.nn.functional.pad(energy.flatten(1), (1, 0), mode="replicate")[:, :-1]
    jumps = (energy.flatten(1) - before).view_as(energy)
    span = energy.amax(2) - energy.amin(2)
    return torch.stack([span / 4, jumps.amax(2) / 4, jumps.amin(2) / 4], 1)


def _share(true: torch.Tensor) -> torch.Tensor:
    """Share of True in the last dimension."""
    return true.sum(-1).float() / true.shape[-1]


def _hum_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Six cues of a comb at 50 or 60 Hz, from windows of one second twice a second: [B, 6, N].

    A comb counts by how far its teeth stand above the valleys beside them, and by its power.
    """
    slow = waves.view(len(waves), -1, SLOWER).mean(2)  # 2400 Hz: its first alias is 20 dB down
    rate_hz = RATE_HZ // SLOWER
    windows = slow.unfold(1, rate_hz, rate_hz // 2)  # [B, W, one second]
    low = torch.fft.rfft(windows * _window(rate_hz))[..., :900]  # 1 Hz a bin
    power = (low.real.square() + low.imag.square()) * SLOWER / rate_hz
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


def _pitch_cues(waves: torch.Tensor, frames: int) -> torch.Tensor:
    """Six cues of wow and flutter, a pitch that moves for all partials together: [B, 6, N].

    The instantaneous frequency of every spectral peak, 150 to 2500 Hz, from the advance of its
    phase over a frame; its change to the next frame, in cents; the mean over peaks. Notes that
    begin or glide alone move few peaks; a motor moves all.
    """
    slow = waves.view(len(waves), -1, TO_8K).mean(2)
    hop = HOP // TO_8K
    padded = torch.nn.functional.pad(slow, (PITCH_FFT // 2, PITCH_FFT // 2))
    pieces = padded.unfold(1, PITCH_FFT, hop)[:, :frames] * _window(PITCH_FFT)
    low, high = PITCH_BINS
    spectrum = torch.fft.rfft(pieces)[..., low - 1 : high + 1]  # [B, N, bins + 2]
    size = spectrum.abs()
    inner = size[..., 1:-1]
    peak = (inner >= size[..., :-2]) & (inner >= size[..., 2:])
    x = spectrum[..., 1:-1]
    bins = torch.arange(low, high, dtype=torch.float32)
    advance = torch.angle(x[:, 1:] * x[:, :-1].conj())
    turns = advance / (2 * torch.pi) - bins * hop / PITCH_FFT
    place = bins + (turns - turns.round()) * PITCH_FFT / hop  # in bins, [B, N - 1, bins]
    change = (place[:, 1:] / place[:, :-1].clamp_min(1) - 1) * (1200 / math.log(2))  # cents
    steady = peak[:, 2:] & peak[:, 1:-1] & (change.abs() < 40)
    weight = torch.where(steady, inner[:, 2:].sqrt(), 0)
    total = weight.sum(2).clamp_min(1e-6)
    mean = (weight * change).sum(2) / total  # [B, N - 2]
    spread = ((weight * (change - mean[..., None]).square()).sum(2) / total).sqrt()
    share = total / inner[:, 2:].sqrt().sum(2).clamp_min(1e-6)
    path = mean.clamp(-15, 15).cumsum(1)
    path = path - _smooth(path, 51)
    cues = torch.stack([
        mean.clamp(-20, 20) / 10, _log(mean.abs(), 0.1), _log(spread, 0.1), share, path / 20,
        _log(_smooth(path.square(), 25), 0.1) / 2,
    ], 1)  # fmt: skip
    return torch.nn.functional.pad(cues, (2, 0), mode="replicate")


def _smooth(x: torch.Tensor, width: int) -> torch.Tensor:
    """Moving mean over `width` (odd) frames of [B, N], over fewer at the ends."""
    return torch.nn.functional.avg_pool1d(
        x[:, None], width, 1, width // 2, count_include_pad=False
    )[:, 0]
