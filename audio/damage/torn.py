"""Damage by masks over the short-time spectrum: holes torn by denoisers, separators, coders.

Every function is a degradation as `degrade.py` describes them: `(samples, rate_hz, level, rng)`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr


def denoise(x: np.ndarray, rate_hz: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """An over-eager noise remover: what lies under `strength` times a band's quiet level is gone.

    Spectral gating of the magnitude: windows of about 23 ms; the quiet level of a band is the 20th
    percentile of its magnitudes. It leaves holes and "musical noise".
    """

    def gate(spectrum: np.ndarray) -> np.ndarray:
        magnitude = np.abs(spectrum)
        return magnitude > strength * np.quantile(magnitude[4:-4], 0.2, axis=0)

    return np.stack([_masked(channel, rate_hz, gate) for channel in x])


def holes(x: np.ndarray, rate_hz: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Bands that drop out: `share` of all patches of 46 ms by a third of an octave are silent."""
    seed = int(rng.integers(2**31))

    def lose(spectrum: np.ndarray) -> np.ndarray:
        patch_rng = np.random.default_rng(seed)  # the same patches in every channel
        hz = np.arange(spectrum.shape[1]) * rate_hz / (2 * spectrum.shape[1] - 2)
        band = np.floor(3 * np.log2(np.maximum(hz, 50) / 50)).astype(int)
        kept = patch_rng.random((len(spectrum) // 8 + 1, band.max() + 1)) >= share
        return kept[np.arange(len(spectrum)) // 8][:, band]

    return np.stack([_masked(channel, rate_hz, lose) for channel in x])


def separation(
    x: np.ndarray, rate_hz: int, other_db: float, rng: np.random.Generator
) -> np.ndarray:
    """A stem taken out of a mix by a soft mask: what separators of sources leave behind.

    The other sound of the mix is this one backwards and 5% slower, `other_db` above it. The mask is
    the share of the power, raised to a random sharpness and wrong by a random error a bin; windows
    of 11 to 93 ms.
    """
    backwards = np.atleast_2d(soxr.resample(x[:, ::-1].T, 1.0, 1.05).T)[:, : x.shape[1]]
    gain = 10 ** (other_db / 20) * np.std(x) / max(float(np.std(backwards)), 1e-12)
    size_s = 0.0116 * 2 ** int(rng.integers(4))
    sharpness, error = rng.uniform(0.5, 3), rng.uniform(0, 1.5)
    wanted = [_spectrum(channel, rate_hz, size_s) for channel in x]
    other = [_spectrum(channel, rate_hz, size_s) for channel in gain * backwards]
    noise = np.exp(error * rng.standard_normal(wanted[0].shape))
    out = []
    for mine, its in zip(wanted, other, strict=True):
        power = np.abs(mine) ** 2 * noise
        mask = (power / (power + np.abs(its) ** 2 + 1e-20)) ** sharpness
        out.append(_wave((mine + its) * mask, x.shape[1]))
    return np.stack(out)


def sparse(x: np.ndarray, rate_hz: int, depth_db: float, rng: np.random.Generator) -> np.ndarray:
    """The strongest partials alone: in a band of a third of an octave and one window, what lies more than
    `depth_db` under the strongest bin is gone, as in parametric coding. Windows of 11 to 93 ms."""
    size_s = 0.0116 * 2 ** int(rng.integers(4))

    def keep(spectrum: np.ndarray) -> np.ndarray:
        power = np.abs(spectrum) ** 2
        bins = np.arange(spectrum.shape[1]) * rate_hz / (2 * spectrum.shape[1] - 2)
        band = np.floor(3 * np.log2(np.maximum(bins, 50) / 50)).astype(int)
        starts = np.flatnonzero(np.diff(band, prepend=-1))
        strongest = np.maximum.reduceat(power, starts, axis=1)
        widths = np.diff(np.append(starts, len(band)))
        return power > np.repeat(strongest, widths, axis=1) * 10 ** (-depth_db / 10)

    return np.stack([_masked(channel, rate_hz, keep, size_s) for channel in x])


def _spectrum(channel: np.ndarray, rate_hz: int, size_s: float) -> np.ndarray:
    """Short-time spectrum [windows, bins] of `channel` [frames]: Hann windows of about `size_s`, a
    power of two long, three quarters overlapping, with room at both ends."""
    size = 1 << round(np.log2(rate_hz * size_s))
    padded = np.pad(channel, (size, size + (-len(channel)) % (size // 4)))
    window = np.hanning(size + 1)[:-1]
    views = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4]
    return np.fft.rfft(views * window)


def _masked(
    channel: np.ndarray,
    rate_hz: int,
    mask: Callable[[np.ndarray], np.ndarray],
    size_s: float = 0.023,
) -> np.ndarray:
    """`channel` [frames] with its short-time spectrum [windows, bins] multiplied by `mask` of it."""
    spectrum = _spectrum(channel, rate_hz, size_s)
    return _wave(spectrum * mask(spectrum), len(channel))


def _wave(spectrum: np.ndarray, frames: int) -> np.ndarray:
    """The samples [frames] of a spectrum that `_spectrum` gave: windows again, overlapped, added."""
    size = 2 * spectrum.shape[1] - 2
    hop, window = size // 4, np.hanning(size + 1)[:-1]
    back = np.fft.irfft(spectrum, size) * window / 1.5  # squared Hanns sum to 1.5
    out = np.zeros((len(spectrum) + 3) * hop)
    for phase in range(4):  # every fourth window lies beside the next
        side = back[phase::4].reshape(-1)
        out[phase * hop :][: len(side)] += side
    return out[size : size + frames]
