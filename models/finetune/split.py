"""Train, dev and test: as the labels say, or by group with a fixed seed; a group is never cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...schemas.errors import ConfigError
from .labels import Labelled

SHARE = 0.1  # of the sounds, for test, and as much for dev
LARGE = 2 * SHARE  # groups of a larger share go to train where that can be


def split_of(sounds: Sequence[Labelled], seed: int) -> list[str]:
    """`train`, `dev` or `test` for every sound.

    Raises ConfigError where a given split cuts a group or has no train or dev, and where there are
    fewer than three groups to split.
    """
    if sounds and sounds[0].split is not None:
        return _given(sounds)
    sizes = Counter(s.group for s in sounds)
    if len(sizes) < 3:
        raise ConfigError(
            f"{len(sounds)} usable sounds in {len(sizes)} groups, expected 3 groups or more to make"
            " train, dev and test: label more, or give the column split"
        )
    names = sorted(sizes)
    mixed = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    mixed.sort(key=lambda g: sizes[g] if sizes[g] > LARGE * len(sounds) else 0)
    where = dict.fromkeys(names, "train")
    for part, left in (("test", 2), ("dev", 1)):  # groups that must remain for the others
        taken = 0
        while len(mixed) > left and taken < SHARE * len(sounds):
            group = mixed.pop(0)
            where[group] = part
            taken += sizes[group]
    return [where[s.group] for s in sounds]


def _given(sounds: Sequence[Labelled]) -> list[str]:
    splits = [str(s.split) for s in sounds]
    for part in ("train", "dev"):
        if part not in splits:
            raise ConfigError(
                f"the column split has no usable row of {part}, but {dict(Counter(splits))}: "
                "give train and dev (and test), or leave the column out"
            )
    where: dict[str, str] = {}
    for sound, split in zip(sounds, splits, strict=True):
        if where.setdefault(sound.group, split) != split:
            raise ConfigError(
                f"the column split cuts the group {sound.group!r}: it is in {where[sound.group]} "
                f"and in {split}; figures would be too good. Give a group one split"
            )
    return splits
