"""Loudness: integrated loudness of a window after ITU-R BS.1770-5, in LUFS.

The K-weighting filters are those of the standard, computed for any rate; the gates are its -70 LUFS
and -10 LU. `torchaudio.functional.loudness` is near (0.05 LU at 44.1 and 48 kHz, 0.1 LU at 16 kHz)
but slower, and it cuts the filtered signal off at full scale: loud masters read up to 0.2 LU low.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK_S = 0.4
BLOCKS_OVERLAP = 4  # a block starts every 100 ms
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
MIN_RATE_HZ = 4000  # the shelf of the filter lies at 1682 Hz
# Left, right, centre, low frequency, surrounds: the order of wav, flac, ogg.
CHANNEL_WEIGHTS = {5: (1.0, 1.0, 1.0, 1.41, 1.41), 6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)}


def integrated_loudness(samples: np.ndarray, rate_hz: int) -> float | None:
    """LUFS of float [channels, frames].

    None under 0.4 s, below a rate of 4 kHz, or where the gates leave nothing.
    """
    from scipy.signal import sosfilt

    if rate_hz < MIN_RATE_HZ:
        return None
    step = round(BLOCK_S / BLOCKS_OVERLAP * rate_hz)
    blocks = samples.shape[1] // step - BLOCKS_OVERLAP + 1
    if blocks < 1:
        return None
    weighted = sosfilt(_k_weighting(rate_hz), samples, axis=1)
    steps = (blocks + BLOCKS_OVERLAP - 1) * step
    power = np.square(weighted[:, :steps]).reshape(len(samples), -1, step).sum(axis=2)
    sums = np.lib.stride_tricks.sliding_window_view(power, BLOCKS_OVERLAP, axis=1).sum(axis=2)
    weights = np.array(CHANNEL_WEIGHTS.get(len(samples), (1.0,) * len(samples)))
    energy = weights @ (sums / (BLOCKS_OVERLAP * step))  # [blocks]
    loud = energy[energy > _energy(ABSOLUTE_GATE)]
    if loud.size == 0:
        return None
    loud = loud[loud > loud.mean() * 10 ** (RELATIVE_GATE / 10)]
    return float(-0.691 + 10 * math.log10(loud.mean()))


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _k_weighting(rate_hz: int) -> np.ndarray:
    """The head's shelf and the high-pass, second-order sections [2, 6].

    The analogue prototypes behind the standard's 48 kHz table, by the bilinear transform.
    """
    gain, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    k = math.tan(math.pi * 1681.974450955533 / rate_hz)
    a0 = 1 + k / q + k * k
    half = gain**0.4996667741545416
    shelf = [
        (gain + half * k / q + k * k) / a0,
        2 * (k * k - gain) / a0,
        (gain - half * k / q + k * k) / a0,
        1,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    q = 0.5003270373238773
    k = math.tan(math.pi * 38.13547087602444 / rate_hz)
    a0 = 1 + k / q + k * k
    high_pass = [1, -2, 1, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, high_pass])
