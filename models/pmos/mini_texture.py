"""How the power of a spectrum is spread within bands: full as noise, or torn by a codec or a denoiser.

A mel band holds a mean, so what is missing between partials, or for a moment at one frequency, is not
in it. Here it is, band by band, from long windows (43 ms, bins of 23 Hz) and short ones (21 ms, 47 Hz).
Thresholds are ones that noise and steady partials seldom pass.

Shapes: N frames of 20 ms; a spectrum is [N, bins], a row a window.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch

LONG_FFT, SHORT_FFT = 2048, 1024
LONG_HOP, SHORT_HOP = 960, 480  # 20 and 10 ms
RATE_HZ = 48000
LONG, SHORT = 16, 10  # bands
LONG_HZ, SHORT_HZ = (150, 22000), (600, 22000)
TEXTURES = 3 * LONG + 4 * SHORT  # channels, beside those of `flatness`
DEAD = 2.0  # 20 dB under the band's middle
GAP = 1.5  # 15 dB under, or above, both neighbours in time
FLOOR = 1e-8  # power of a bin: that of 16-bit music


class Spectrum(NamedTuple):
    """power and its log10, both [windows, bins]."""

    power: torch.Tensor
    log: torch.Tensor


def spectrum(power: torch.Tensor) -> Spectrum:
    """Of a power spectrum, with the floor of 16-bit music under it."""
    lifted = power + FLOOR
    return Spectrum(lifted, torch.log10(lifted))


def textures(long: Spectrum, wave: torch.Tensor) -> torch.Tensor:
    """float32 [1, TEXTURES, N] of one sound: `long` of its long windows, [N, LONG_FFT / 2 + 1], and
    `wave` [N * LONG_HOP] itself.

    In this order, a row a band: depth of the deepest bin under the band's middle, share of dead bins
    and unrest (long windows); flatness, share of dead bins, of gaps and of islands (short ones, two a
    frame).
    """
    bands = _bands(LONG_FFT, LONG, *LONG_HZ)
    depth = (long.log @ bands.mean - bands.lowest(long.log)) / 4
    change = (long.log[1:] - long.log[:-1]).abs().clamp(max=3) @ bands.mean
    unrest = torch.cat([change[:1], change])
    fine = torch.cat([depth, _share(_dead(long.log, bands), bands), unrest], 1)
    short, bands = _short_spectrum(wave), _bands(SHORT_FFT, SHORT, *SHORT_HZ)
    before, after = _shifted(short.log, 2), _shifted(short.log, -2)
    gaps = (short.log < torch.minimum(before, after) - GAP).float()
    islands = (short.log > torch.maximum(before, after) + GAP).float()
    shares = [_share(true, bands) for true in (_dead(short.log, bands), gaps, islands)]
    coarse = torch.cat([_flat(short, bands), *shares], 1).view(len(fine), 2, -1).mean(1)
    return torch.cat([fine, coarse], 1).T[None]


def flatness(long: Spectrum) -> torch.Tensor:
    """log10 of geometric over arithmetic mean power in each band, over 2: [1, LONG, N].

    Noise gives -.125, tones and holes less.
    """
    return _flat(long, _bands(LONG_FFT, LONG, *LONG_HZ)).T[None]


class Bands:
    """Bands of equal width in octaves over the bins of a spectrum."""

    def __init__(self, fft: int, count: int, low_hz: float, high_hz: float) -> None:
        edges = torch.logspace(math.log10(low_hz), math.log10(high_hz), count + 1) * fft / RATE_HZ
        self.edges = [int(edge) for edge in edges.round()]
        bins = torch.arange(fft // 2 + 1)[:, None]
        inside = ((bins >= edges[:-1].round()) & (bins < edges[1:].round())).float()
        self.mean = inside / inside.sum(0)  # [bins, count], to be multiplied by
        self.inside = inside.T  # [count, bins]

    def lowest(self, values: torch.Tensor) -> torch.Tensor:
        """The least of each band, [N, count]."""
        spans = zip(self.edges[:-1], self.edges[1:], strict=True)
        return torch.stack([values[:, a:b].amin(1) for a, b in spans], 1)


@lru_cache(maxsize=4)
def _bands(fft: int, count: int, low_hz: float, high_hz: float) -> Bands:
    return Bands(fft, count, low_hz, high_hz)


def _flat(of: Spectrum, bands: Bands) -> torch.Tensor:
    return (of.log @ bands.mean - torch.log10(of.power @ bands.mean)) / 2


def _dead(log_power: torch.Tensor, bands: Bands) -> torch.Tensor:
    middle = (log_power @ bands.mean) @ bands.inside
    return (log_power < middle - DEAD).float()


def _share(true: torch.Tensor, bands: Bands) -> torch.Tensor:
    """log10 of the share in each band, 0 at one bin in thirty."""
    return torch.log10(true @ bands.mean + 3e-3) + 1.5


def _short_spectrum(wave: torch.Tensor) -> Spectrum:
    """[2 N, SHORT_FFT / 2 + 1]: window k is about sample k * SHORT_HOP."""
    padded = torch.nn.functional.pad(wave, (SHORT_FFT // 2, SHORT_FFT // 2))
    pieces = padded.unfold(0, SHORT_FFT, SHORT_HOP)[: len(wave) // SHORT_HOP]
    x = torch.fft.rfft(pieces * torch.hann_window(SHORT_FFT))
    return spectrum((x.real.square() + x.imag.square()) / SHORT_FFT)


def _shifted(x: torch.Tensor, frames: int) -> torch.Tensor:
    """`x` [N, bins] later by `frames` (earlier if negative), the end repeated."""
    at = (torch.arange(len(x)) - frames).clamp(0, len(x) - 1)
    return x[at]
