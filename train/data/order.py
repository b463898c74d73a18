"""Which clips a step trains on, in which order: a state that resume continues exactly.

An epoch is a shuffled list that holds clip i `expected[i]` times in the mean: floor or ceiling of it
by systematic resampling (Kitagawa 1996), so that no clip is left to chance more than it must be.

    none       expected 1: every clip once an epoch
    exp        min(1, exp(rate * (p-MOS - full))) of the clip itself, over the largest of them. The
               released code accepts by this rule, but gives the accepted score to another clip
    balanced   levels alike: (clips / levels) / clips of the level

Order and position depend on (seed, epoch) and a count alone; a step may reach over the end of an
epoch, so nothing is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...schemas.errors import ConfigError
from ..config import DataConfig


def expected_counts(data: DataConfig, levels: np.ndarray, pmos: np.ndarray) -> np.ndarray:
    """How often each clip comes in an epoch, in the mean: float64 [n].

    levels: 1..5, 0 where unknown. pmos: NaN where unknown. Raises ConfigError where the rule needs
    a number that some clip does not have.
    """
    n = len(levels)
    if data.quality_sampling == "none":
        return np.ones(n)
    if data.quality_sampling == "balanced":
        if (levels < 1).any():
            raise ConfigError(f"quality_sampling = balanced: {(levels < 1).sum()} clips, no level")
        counts = np.bincount(levels.astype(np.int64), minlength=6)
        return (n / np.count_nonzero(counts) / np.maximum(counts, 1))[levels]
    if np.isnan(pmos).any():
        raise ConfigError(
            f"quality_sampling = exp: {np.isnan(pmos).sum()} of {n} clips have no p-MOS; score them "
            "first (qamdt-curate score), or sample by none or balanced"
        )
    full = pmos.mean() + data.exp_full * pmos.std()
    log = np.minimum(0.0, data.exp_rate * (pmos.astype(np.float64) - full))
    return np.asarray(np.exp(log - log.max()))


def epoch_order(expected: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The clips of one epoch, in order: int64. Never empty where some `expected` is 1 or more."""
    rng = np.random.default_rng((seed, epoch))
    places = rng.permutation(len(expected))
    ends = np.floor(np.cumsum(expected[places]) + min(rng.random(), 1 - 1e-6)).astype(np.int64)
    times = np.diff(ends, prepend=0)
    return rng.permutation(np.repeat(places, times))


class DataOrder:
    """Gives every step its clips. `state` and `load_state` carry it over a resume."""

    def __init__(self, expected: np.ndarray, seed: int, count: int) -> None:
        """count: clips a step, over all processes and accumulated batches."""
        if not len(expected):
            raise ConfigError("no clip to train on")
        self._expected, self._seed, self._count = expected, seed, count
        self.step = self._epoch = self._position = 0
        self._order = epoch_order(expected, seed, 0)

    def next_step(self) -> np.ndarray:
        """The clips of the next step: int64 [count]."""
        chunks: list[np.ndarray] = []
        missing = self._count
        while missing:
            chunk = self._order[self._position : self._position + missing]
            chunks.append(chunk)
            missing -= len(chunk)
            self._position += len(chunk)
            if self._position >= len(self._order):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = epoch_order(self._expected, self._seed, self._epoch)
        self.step += 1
        return np.concatenate(chunks)

    @property
    def epochs(self) -> float:
        """Epochs done, the part of the present one included."""
        return self._epoch + self._position / max(len(self._order), 1)

    def state(self) -> dict[str, Any]:
        return {
            "seed": self._seed, "count": self._count, "clips": len(self._expected),
            "step": self.step, "epoch": self._epoch, "position": self._position,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on behind the last step of `state`. Raises ConfigError where it is of another order."""
        own = self.state()
        for name in ("seed", "count", "clips"):
            if state[name] != own[name]:
                raise ConfigError(
                    f"the checkpoint's data order has {name} {state[name]}, this run {own[name]}: "
                    "it cannot be continued exactly; use the same data set, seed, batch size, "
                    "accumulation and number of processes, or begin a new run folder"
                )
        self.step, self._epoch, self._position = state["step"], state["epoch"], state["position"]
        self._order = epoch_order(self._expected, self._seed, self._epoch)
