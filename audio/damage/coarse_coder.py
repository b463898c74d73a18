"""A transform coder without a psychoacoustic model: MDCT coefficients rounded by too coarse a step.

What the coders of the nineties do to music when bits are short: weak coefficients become zero, the
rest are multiples of the step. Bands fall silent for single frames ("birdies"), noise between
partials goes, attacks are smeared over a frame. Modern coders (`codecs.py`) hide it better.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

BAND_EDGES = 21  # bands of about a third of an octave


def coarse_coder(
    x: np.ndarray, rate_hz: int, step_db: float, rng: np.random.Generator
) -> np.ndarray:
    """`x` [channels, frames] with its MDCT rounded by a step `step_db` above the level of its band.

    The level is the RMS of the band's coefficients in their frame, pulled towards that of the entire
    frame by a random share; frames have a random length of 5 to 43 ms (at 48 kHz).
    """
    hop = int(rng.choice([256, 512, 1024, 2048]))
    flat = rng.uniform(0, 0.5)  # 0: every band has its own step, 1: one step for all
    edges = np.unique(np.geomspace(2, hop, BAND_EDGES).astype(int))
    edges[0] = 0
    widths = np.diff(edges)
    coded = []
    for channel in x:
        spectrum = mdct(channel, hop)  # [windows, hop]
        energy = np.add.reduceat(spectrum**2, edges[:-1], axis=1)
        band = np.sqrt(energy / widths) + 1e-12
        frame = np.sqrt(energy.sum(1, keepdims=True) / hop) + 1e-12
        step = np.repeat(band ** (1 - flat) * frame**flat * 10 ** (step_db / 20), widths, axis=1)
        coded.append(imdct(np.round(spectrum / step) * step, len(channel)))
    return np.stack(coded)


def mdct(samples: np.ndarray, hop: int) -> np.ndarray:
    """MDCT of [frames] with sine windows of 2 * hop, orthonormal: float64 [windows, hop].

    `hop` even. Source: Princen & Bradley 1986; a fold and a DCT-IV.
    """
    padded = np.pad(samples.astype(np.float64), (hop, hop + (-len(samples)) % hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * _sine(hop)
    a, b, c, d = np.split(windows, 4, axis=1)
    return scipy.fft.dct(
        np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], 1), type=4, norm="ortho", axis=1
    )


def imdct(spectrum: np.ndarray, frames: int) -> np.ndarray:
    """The samples [frames] that `mdct` gave [windows, hop]: aliases of neighbours cancel."""
    hop = spectrum.shape[1]
    first, second = np.split(scipy.fft.dct(spectrum, type=4, norm="ortho", axis=1), 2, axis=1)
    windows = np.concatenate([second, -second[:, ::-1], -first[:, ::-1], -first], 1) * _sine(hop)
    out = np.zeros((len(spectrum) + 1, hop))
    out[:-1] += windows[:, :hop]
    out[1:] += windows[:, hop:]
    return out.reshape(-1)[hop : hop + frames]


def _sine(hop: int) -> np.ndarray:
    return np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
