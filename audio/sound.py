"""A Sound: one decoded window of audio, and what has already been computed from it.

Every listener of a pass gets the same Sound, so a resampling or a network output that two of them
need is computed once: the first puts it into `memo`, the next finds it there. A Sound lives as long
as its batch; nothing in it is ever written to disk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import soxr

T = TypeVar("T")


@dataclass(eq=False)
class Sound:
    """One window of audio at its native rate.

    samples: float32 [channels, frames], nominally -1..1 (lossy decoders may exceed it).
    rate_hz: samples a second of `samples`.
    name: the file it came from, for error messages.
    """

    samples: np.ndarray
    rate_hz: int
    name: str = ""
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def duration_s(self) -> float:
        return self.samples.shape[1] / self.rate_hz

    def mono(self) -> np.ndarray:
        """The mean of all channels, float32 [frames], at the native rate."""
        return self.once("mono", lambda: self.samples.mean(axis=0, dtype=np.float32))

    def mono_at(self, rate_hz: int) -> np.ndarray:
        """The mean of all channels, float32 [frames], resampled (soxr HQ) to `rate_hz`."""
        if rate_hz == self.rate_hz:
            return self.mono()
        return self.once(
            ("mono", rate_hz), lambda: soxr.resample(self.mono(), self.rate_hz, rate_hz, "HQ")
        )

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of `compute()`, computed at the first call with this `key` and kept."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]
