"""Sounds into windows, windows into batches of one length: what every p-MOS model needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...audio.sound import Sound


def sane(sound: Sound, min_s: float) -> bool:
    """Whether a sound can be judged: at least `min_s` long, and finite."""
    return sound.duration_s >= min_s and bool(np.isfinite(sound.samples).all())


def equal_windows(wave: np.ndarray, most: int) -> list[np.ndarray]:
    """`wave` [T] as the fewest windows of one length of at most `most` samples.

    They follow each other without overlap; fewer samples than there are windows may be left over
    at the end.
    """
    count = max(1, -(-len(wave) // most))
    size = len(wave) // count
    return [wave[k * size : (k + 1) * size] for k in range(count)]


def of_equal_length(waves: Sequence[np.ndarray], at_most: int) -> Iterator[list[int]]:
    """Indices of `waves` in batches of one length: nothing is padded, so nothing leaks between."""
    by_length: dict[int, list[int]] = {}
    for k, wave in enumerate(waves):
        by_length.setdefault(len(wave), []).append(k)
    for same in by_length.values():
        for start in range(0, len(same), at_most):
            yield same[start : start + at_most]
