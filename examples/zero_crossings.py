"""A listener in a file of its own: how often a sound crosses zero, a second.

qamdt-curate score out/mine --plugin examples/zero_crossings.py
qamdt-curate sql out/mine "select clip_id, crossings from clips_full order by 2 desc"
qamdt-curate filter out/mine --where "buzzing: crossings < 3000"
"""

import numpy as np

import qamdt


@qamdt.listener("zcr", crossings="zero crossings of the mean of all channels a second, Hz")
def zero_crossings(sound):
    """One number a sound: samples are float32 [channels, n]."""
    signs = np.signbit(sound.samples.mean(0))
    return float(np.count_nonzero(signs[1:] != signs[:-1]) * sound.rate_hz / len(signs))
