"""The labelled examples of `labels.py` as features on disk, and batches of them for training.

A batch is some clips and some versions of each, so that the loss can rank versions of one clip.
Features are varied a little: level, tone, and now and then a shorter window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...audio.damage.degrade import KINDS
from ...models.pmos import mini_features
from ...models.pmos.mini_features import MELS
from ...schemas.errors import ConfigError
from ..common.command import in_processes
from .labels import PENALTIES, WEIGHTS, mended

DAMAGES = (*(k for k in KINDS if k in WEIGHTS), "nothing")  # outputs of the damage head
LEVEL_CUES = {0: 1 / 40, 1: 1 / 40, 7: 1 / 60, 13: 1 / 60, 16: 1 / 30, 19: 1 / 30}  # step a dB


@dataclass(frozen=True)
class Batch:
    """features float32 [B, C, N]; targets [B], [B, kinds], [B, bands]; clip int64 [B]."""

    features: torch.Tensor
    mos: torch.Tensor
    damage: torch.Tensor
    similarity: torch.Tensor
    clip: torch.Tensor


def features_path(part: Path) -> Path:
    """Where the features of a part (its .parquet file) are kept."""
    return part.with_suffix(f".heard-{mini_features.VERSION}.npy")


def extract(part: Path) -> None:
    """Make the features float16 [n, C, N] of one labelled part, if they are not there.

    Raises ConfigError where the waves are gone (`labels.WAVES_KEPT`): the front end has changed.
    """
    torch.set_num_threads(1)  # so that the bits are the same in every process
    path = features_path(part)
    if path.exists():
        return
    if not part.with_suffix(".npy").exists():
        raise ConfigError(
            f"{part} has no features of front end {mini_features.VERSION}, and its waves were not kept: "
            "delete this file, and it is labelled again"
        )
    waves = np.load(part.with_suffix(".npy"), mmap_mode="r")
    blocks = []
    with torch.inference_mode():
        for wave in waves:
            sound = torch.from_numpy(wave[None].astype(np.float32) / 32768)
            blocks.append(mini_features.features(sound).half().numpy())
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        np.save(out, np.concatenate(blocks))
    temporary.replace(path)


def extract_all(folder: Path, split: str = "", workers: int = 1) -> None:
    """`extract` every labelled part (of one split) in `workers` processes, with a progress bar."""
    parts = sorted(folder.glob(f"{split}*.parquet"))
    todo = [part for part in parts if not features_path(part).exists()]
    in_processes("features", extract, todo, workers)


class Examples:
    """All examples of some splits: a table of labels (`mos`, mended) and their features.

    Features stay on disk and are read by the row, so that several trainings share them.
    labelled: leave out what ViSQOL gave no score for, but for bare noise, which needs none.
    parts: of each split, the first ones; None is all.
    """

    def __init__(
        self, folder: Path, *splits: str, labelled: bool = True,
        penalties: Mapping[str, float] = PENALTIES, parts: int | None = None,
    ) -> None:  # fmt: skip
        tables = []
        self._places: list[tuple[np.ndarray, int]] = []  # of each example: its part and row there
        for path in (p for s in splits for p in sorted(folder.glob(f"{s}-*.parquet"))[:parts]):
            table = pd.read_parquet(path)
            nothing = table["kinds"].map(lambda kinds: "nothing" in kinds)
            table.loc[nothing, "visqol"] = 1.0
            used = (table["visqol"].notna() | (not labelled)).to_numpy()
            tables.append(table[used])
            features = np.load(features_path(path), mmap_mode="r")
            self._places += [(features, int(row)) for row in np.flatnonzero(used)]
        if not tables:
            raise ConfigError(f"{folder} holds no labels for {splits}: run the labels recipe first")
        self.table = pd.concat(tables, ignore_index=True)
        self.table["mos"] = [
            mended(v, list(k), list(s), penalties)
            for v, k, s in zip(
                *(self.table[c] for c in ("visqol", "kinds", "severities")), strict=True
            )
        ]
        self.mos = torch.tensor(self.table["mos"].to_numpy(), dtype=torch.float32)
        clips = self.table.groupby(["split", "clip"])
        self.clip = torch.tensor(clips.ngroup().to_numpy())
        self.similarity = torch.from_numpy(
            np.nan_to_num(np.stack(self.table["similarity"]).astype(np.float32))
        )
        self.damage = torch.tensor(
            [[float(d in kinds) for d in DAMAGES] for kinds in self.table["kinds"]]
        )
        self._clips = [torch.from_numpy(rows) for _, rows in sorted(clips.indices.items())]

    def __len__(self) -> int:
        return len(self.table)

    def features(self, rows: Iterable[int]) -> torch.Tensor:
        """float32 [len(rows), C, N]."""
        own = [features[row] for features, row in (self._places[k] for k in rows)]
        return torch.from_numpy(np.stack(own)).float()

    def center_and_scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of every channel, [C, 1] each, from up to 1000 examples."""
        some = self.features(range(0, len(self), max(1, len(self) // 1000)))
        return some.mean((0, 2))[:, None], some.std((0, 2))[:, None].clamp_min(0.05)

    def batch(self, clips: int, versions: int, rng: np.random.Generator) -> Batch:
        """`clips` clips with `versions` versions each, the clean one always among them, and half as
        many clean ones of further clips: as good music is the commonest."""
        rows: list[int] = []
        for k in rng.integers(0, len(self._clips), clips):
            own = self._clips[k].numpy()
            rows += [own[0], *rng.permutation(own[1:])[: versions - 1]]
        rows += [int(self._clips[k][0]) for k in rng.integers(0, len(self._clips), clips // 2)]
        pick = torch.tensor(np.array(rows))
        features = _varied(self.features(rows), rng)
        return Batch(
            features, self.mos[pick], self.damage[pick], self.similarity[pick], self.clip[pick]
        )


def _varied(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another level and tone for each example; in one of five batches a part of the time."""
    level_db = torch.tensor(rng.normal(0, 1.0, len(x)), dtype=torch.float32)
    knots = torch.tensor(rng.normal(0, 1.2, (len(x), 1, 7)), dtype=torch.float32)
    tone_db = torch.nn.functional.interpolate(knots, MELS, mode="linear", align_corners=True)[:, 0]
    x[:, :MELS] += ((level_db[:, None] + tone_db) / 30)[..., None]
    for cue, step in LEVEL_CUES.items():
        x[:, MELS + cue] += (level_db * step)[:, None]
    if rng.random() < 0.2:
        frames = max(50, int(x.shape[2] * rng.uniform(0.3, 0.9)))
        start = int(rng.integers(0, x.shape[2] - frames + 1))
        x = x[..., start : start + frames]
    return x
