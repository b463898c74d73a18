"""What codec-mini is trained on: log-mels of clean and damaged music, in memory, and batches of them.

The music is that of the p-MOS recipe, clip by clip and damage by damage: where its waves lie in the
cache they are read, else they are made alike. Damage must survive the codec, or a generator trained
on its latents could not learn good sound from bad; clean sound is drawn more often.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
import torch

from ...audio import mel as front
from ...pipeline.progress import Progress
from ...schemas.errors import ConfigError
from ..pmos import labels
from ..pmos.references import Clips

VERSION = 1  # raised whenever the same music gives other examples
KEPT = 4  # versions of a clip that are kept: the clean one and three damaged ones
PARTS = {"train": 64, "dev": 4}  # of labels.CLIPS_A_PART clips each
CLEAN = 0.55  # share of clean examples in a batch
QUIETEST_DB = 15.0  # a crop is up to so much below the peak of its window
SILENT = 0.08  # share of crops that end in silence, as clips that were filled up do


def folder_of(cache: Path) -> Path:
    """Where the mels are kept under `cache`."""
    return cache / "codec" / f"mels-{VERSION}-{labels.folder_of(cache).name}"


def mels_of(waves: np.ndarray) -> np.ndarray:
    """Log-mels float16 [n, T, 64] of waves int16 [n, N] at 48 kHz."""
    at_16k = [
        soxr.resample(w.astype(np.float32) / 32768, labels.RATE_HZ, front.RATE_HZ) for w in waves
    ]
    with torch.inference_mode():
        mels = front.log_mel(front.normalised(torch.from_numpy(np.stack(at_16k))))
    return mels.numpy().astype(np.float16)


def waves_of(cache: Path, split: str, part: int) -> np.ndarray:
    """KEPT versions of each clip of a part, clean ones first, int16 [clips * KEPT, N] at 48 kHz."""
    path = labels.folder_of(cache) / f"{split}-{part:05d}.npy"
    if path.with_suffix(".parquet").exists():
        import pyarrow.parquet as pq

        version = pq.read_table(path.with_suffix(".parquet"), columns=["version"])["version"]
        waves = np.load(path, mmap_mode="r")
        return np.asarray(waves[np.flatnonzero(version.to_numpy() < KEPT)])
    clips = _clips(cache)
    numbers = range(part * labels.CLIPS_A_PART, (part + 1) * labels.CLIPS_A_PART)
    out = []
    for number in numbers:
        _, waves = labels.versions(clips.clip(split, number))
        out += [labels.as_int16(wave) for wave in waves[:KEPT]]
    return np.stack(out)


@lru_cache(maxsize=1)
def _clips(cache: Path) -> Clips:
    return Clips(cache, labels.SEED)


def make_all(cache: Path, parts: dict[str, int] | None = None) -> Path:
    """Make what is missing, with a progress bar; gives the folder."""
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(split, k) for split, n in (parts or PARTS).items() for k in range(n)]
    todo = [(s, k) for s, k in wanted if not (folder / f"{s}-{k:05d}.npy").exists()]
    with Progress("mels", len(todo), quiet=not todo) as bar:
        for split, k in todo:
            final = folder / f"{split}-{k:05d}.npy"
            with final.with_suffix(".tmp").open("wb") as out:
                np.save(out, mels_of(waves_of(cache, split, k)))
            final.with_suffix(".tmp").replace(final)
            bar.advance(1)
    return folder


class Mels:
    """The mels of one split, float16 [n, T, 64]; every KEPT-th one is clean."""

    def __init__(self, folder: Path, split: str) -> None:
        paths = sorted(folder.glob(f"{split}-*.npy"))
        if not paths:
            raise ConfigError(f"{folder} holds no mels for {split!r}: make them first (`make_all`)")
        self.mels = torch.from_numpy(np.concatenate([np.load(p) for p in paths]))
        self.clean = torch.arange(0, len(self.mels), KEPT)

    def __len__(self) -> int:
        return len(self.mels)

    def batch(self, size: int, frames: int, rng: np.random.Generator) -> torch.Tensor:
        """Random crops float32 [size, 1, frames, 64], at random levels, some ending in silence."""
        crops = []
        for _ in range(size):
            clip = int(rng.integers(len(self.clean))) * KEPT
            row = clip if rng.random() < CLEAN else clip + int(rng.integers(1, KEPT))
            start = int(rng.integers(self.mels.shape[1] - frames + 1))
            crop = self.mels[row, start : start + frames].float()
            crop = crop - float(rng.uniform(0, QUIETEST_DB)) * np.log(10) / 20
            if rng.random() < SILENT:
                crop[int(rng.integers(frames // 4, frames)) :] = front.SILENCE
            crops.append(crop.clamp_min(front.SILENCE))
        return torch.stack(crops)[:, None]
