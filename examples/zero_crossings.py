"""A listener in one file: how often the wave crosses zero, a plain measure of brightness and noise.

qamdt-curate score DIR --plugin examples/zero_crossings.py
qamdt-curate sql DIR "SELECT path, crossings FROM clips_full ORDER BY crossings DESC"
qamdt-curate filter DIR --where "crossings < 3000"
"""

import numpy as np

import qamdt
from qamdt.audio.sound import Sound


@qamdt.listener("zcr", crossings="zero crossings a second, Hz")
def zero_crossings(sound: Sound) -> float:
    """The mean over the clip; the left and right channel are mixed first."""
    positive = sound.mono() >= 0
    return int(np.count_nonzero(positive[1:] != positive[:-1])) / sound.duration_s
