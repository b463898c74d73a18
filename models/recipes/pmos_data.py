"""The labelled examples of `labels.py` in memory, and batches of them for training.

A batch is some clips and some versions of each, so that the loss can rank versions of one clip.
Features are varied a little: level, tone, and now and then a shorter window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...audio.degrade import KINDS
from ...schemas.errors import ConfigError
from ..pmos_front import MELS

DAMAGES = (*KINDS, "nothing")  # outputs of the damage head
LEVEL_CUES = {0: 1 / 40, 1: 1 / 40, 7: 1 / 60, 13: 1 / 60, 16: 1 / 30, 19: 1 / 30}  # step a dB


@dataclass(frozen=True)
class Batch:
    """features float32 [B, C, N]; targets [B], [B, kinds], [B, bands]; clip int64 [B]."""

    features: torch.Tensor
    mos: torch.Tensor
    damage: torch.Tensor
    similarity: torch.Tensor
    clip: torch.Tensor


class Examples:
    """All examples of one or more splits: a table of labels and their features."""

    def __init__(self, folder: Path, splits: tuple[str, ...]) -> None:
        tables, blocks = [], []
        for path in sorted(folder.glob("part-*.parquet")):
            table = pd.read_parquet(path)
            chosen = table["split"].isin(splits).to_numpy()
            if chosen.any():
                tables.append(table[chosen])
                blocks.append(np.load(path.with_suffix(".npy"))[chosen])
        if not tables:
            raise ConfigError(f"{folder} holds no labels: run the labels recipe first")
        self.table = pd.concat(tables, ignore_index=True)
        self.features = torch.from_numpy(np.concatenate(blocks))  # float16 [n, C, N]
        self.mos = torch.tensor(self.table["mos"].to_numpy(), dtype=torch.float32)
        self.clip = torch.tensor(self.table["clip"].to_numpy())
        self.similarity = torch.from_numpy(np.stack(self.table["similarity"]).astype(np.float32))
        self.damage = torch.tensor(
            [[float(d in kinds) for d in DAMAGES] for kinds in self.table["kinds"]]
        )
        by_clip = self.table.groupby("clip").indices
        self._clips = [torch.from_numpy(r) for _, r in sorted(by_clip.items()) if len(r) > 1]
        self._plain = [int(r[0]) for _, r in sorted(by_clip.items()) if len(r) == 1]

    def __len__(self) -> int:
        return len(self.table)

    def center_and_scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of every channel, [C, 1] each, from up to 1000 examples."""
        some = self.features[:: max(1, len(self) // 1000)].float()
        return some.mean((0, 2))[:, None], some.std((0, 2))[:, None].clamp_min(0.05)

    def batch(self, clips: int, versions: int, rng: np.random.Generator) -> Batch:
        """`clips` clips with `versions` versions each (the clean one among them seven in ten)."""
        rows: list[int] = []
        for k in rng.integers(0, len(self._clips), clips):
            own = self._clips[k].numpy()
            drawn = rng.permutation(own)[:versions]
            if rng.random() < 0.7 and own[0] not in drawn:
                drawn[0] = own[0]
            rows += drawn.tolist()
        if self._plain:
            rows += rng.choice(self._plain, clips // 2).tolist()
        pick = torch.tensor(rows)
        heard = _varied(self.features[pick].float(), self.clip[pick], rng)
        return Batch(
            heard, self.mos[pick], self.damage[pick], self.similarity[pick], self.clip[pick]
        )


def _varied(x: torch.Tensor, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another level and tone for each example; in one of five batches a window of 2.5 to 4.5 s."""
    level_db = torch.tensor(rng.normal(0, 1.0, len(x)), dtype=torch.float32)
    knots = torch.tensor(rng.normal(0, 1.2, (len(x), 1, 7)), dtype=torch.float32)
    tone_db = torch.nn.functional.interpolate(knots, MELS, mode="linear", align_corners=True)[:, 0]
    x[:, :MELS] += ((level_db[:, None] + tone_db) / 30)[..., None]
    for cue, step in LEVEL_CUES.items():
        x[:, MELS + cue] += (level_db * step)[:, None]
    if rng.random() < 0.2:
        frames = int(rng.integers(125, 226))
        start = int(rng.integers(0, x.shape[2] - frames + 1))
        x = x[..., start : start + frames]
    return x
