"""Which sounds make a batch, and which stretch of each: decided by seed, epoch and sound alone.

A batch holds sounds of similar length, every one cut to the length of the shortest. So nothing is
padded and no attention mask is needed: the group normalisation of wav2vec2-base and its kin runs
over time before any mask could act, and would hear the padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..pmos.wav2vec2 import Hearing
from .waves import Waves

ALIKE_S = 0.5  # lengths within this are taken for equal, so that batches mix from epoch to epoch


def epoch_batches(
    lengths: Sequence[int], size: int, alike: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of an epoch: every index of `lengths` once, `size` a batch, one may be smaller.

    alike: lengths are compared in units of so many samples.
    """
    rng = np.random.default_rng((seed, epoch))
    chance = rng.permutation(len(lengths))
    order = np.lexsort((chance, np.asarray(lengths) // alike))
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def crops(
    waves: Waves, batch: Sequence[int], front_end: Hearing, seed: int, epoch: int
) -> np.ndarray:
    """One random stretch of each sound, all of one length, as the network takes them: [B, T]."""
    size = min(front_end.most, *(waves.lengths[k] for k in batch))
    cut = []
    for k in batch:
        rng = np.random.default_rng((seed, epoch, k))
        at = rng.integers(0, waves.lengths[k] - size + 1)
        cut.append(front_end.normalised(waves.wave(k)[at : at + size]))
    return np.stack(cut)
