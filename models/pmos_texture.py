"""How the power of a spectrum is spread within bands: full as noise, or torn by a codec or a denoiser.

A mel band holds a mean, so what is missing between partials, or for a moment at one frequency, is not
in it. Here it is, band by band, from long windows (43 ms, bins of 23 Hz) and short ones (21 ms, 47 Hz).
Thresholds are ones that noise and steady partials seldom pass.

Shapes: N frames of 20 ms; a spectrum is [N, bins], a row a window.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

LONG_FFT, SHORT_FFT = 2048, 1024
LONG_HOP, SHORT_HOP = 960, 480
RATE_HZ = 48000
LONG, SHORT = 16, 10  # bands
LONG_HZ, SHORT_HZ = (150, 22000), (600, 22000)
TEXTURES = 3 * LONG + 4 * SHORT  # channels, beside those of `flatness`
DEAD = 2.0  # 20 dB under the band's middle
GAP = 1.5  # 15 dB under, or above, both neighbours in time
FLOOR = 1e-8  # power of a bin: that of 16-bit music


def textures(log_power: torch.Tensor, wave: torch.Tensor) -> torch.Tensor:
    """float32 [1, TEXTURES, N] of one sound: `log_power` [N, LONG_FFT / 2 + 1] from its long windows,
    and `wave` [N * LONG_HOP] itself.

    In this order, a row a band: depth of the deepest bin under the band's middle, share of dead bins
    and unrest (long windows); flatness, share of dead bins, of gaps and of islands (short ones, two a
    frame).
    """
    long = _bands(LONG_FFT, LONG, *LONG_HZ)
    middle = log_power @ long.mean
    far = _pad_first((log_power[1:] - log_power[:-1]).abs()).clamp(max=3)
    short = _short_log_power(wave)
    bands = _bands(SHORT_FFT, SHORT, *SHORT_HZ)
    before, after = _shifted(short, 2), _shifted(short, -2)
    gaps = (short < torch.minimum(before, after) - GAP).float()
    islands = (short > torch.maximum(before, after) + GAP).float()
    coarse = torch.cat(
        [_flat(short, bands), _share(_dead(short, bands), bands), _share(gaps, bands),
         _share(islands, bands)], 1
    )  # fmt: skip
    coarse = coarse.view(len(log_power), 2, -1).mean(1)
    fine = [
        (middle - long.lowest(log_power)) / 4,
        _share(_dead(log_power, long), long),
        far @ long.mean,
    ]
    return torch.cat([*fine, coarse], 1).T[None]


def flatness(log_power: torch.Tensor) -> torch.Tensor:
    """log10 of geometric over arithmetic mean power in each band, over 2: [1, LONG, N].

    Noise gives -.125, tones and holes less.
    """
    return _flat(log_power, _bands(LONG_FFT, LONG, *LONG_HZ)).T[None]


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


def _flat(log_power: torch.Tensor, bands: Bands) -> torch.Tensor:
    return (log_power @ bands.mean - torch.log10((10**log_power) @ bands.mean)) / 2


def _dead(log_power: torch.Tensor, bands: Bands) -> torch.Tensor:
    middle = (log_power @ bands.mean) @ bands.inside
    return (log_power < middle - DEAD).float()


def _share(true: torch.Tensor, bands: Bands) -> torch.Tensor:
    """log10 of the share in each band, 0 at one bin in thirty."""
    return torch.log10(true @ bands.mean + 3e-3) + 1.5


def _short_log_power(wave: torch.Tensor) -> torch.Tensor:
    """[2 N, SHORT_FFT / 2 + 1]: window k is about sample k * SHORT_HOP."""
    padded = torch.nn.functional.pad(wave, (SHORT_FFT // 2, SHORT_FFT // 2))
    pieces = padded.unfold(0, SHORT_FFT, SHORT_HOP)[: len(wave) // SHORT_HOP]
    spectrum = torch.fft.rfft(pieces * torch.hann_window(SHORT_FFT))
    power = (spectrum.real.square() + spectrum.imag.square()) / SHORT_FFT
    return torch.log10(power + FLOOR)


def _shifted(x: torch.Tensor, frames: int) -> torch.Tensor:
    """`x` [N, bins] later by `frames` (earlier if negative), the end repeated."""
    at = (torch.arange(len(x)) - frames).clamp(0, len(x) - 1)
    return x[at]


def _pad_first(x: torch.Tensor) -> torch.Tensor:
    """A first row like the second."""
    return torch.cat([x[:1], x])
