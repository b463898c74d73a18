"""Trains pmos-mini-16k, which scores sounds of 16 kHz: labels, features, network, weights.

    python -m qamdt.recipes.pmos.train_16k --cache DIR --workers 2

A sound of 16 kHz has lost its treble, and for pmos-mini that is damage, which hides what else is
wrong. Here both the sound and the clean clip it is held against are cut at 8 kHz before ViSQOL
compares them: a clean sound of 16 kHz has the best label. The sounds are some of those of `labels.py`;
training goes on from pmos-mini before its lift (`train.py`), which it makes when it is not there.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import soxr
import torch

from ...models.pmos.base import NARROW_HZ, WEIGHTS_16K, EmbeddedPmos
from ..common.command import in_processes, recipe_parser
from . import labels
from .data import Examples, extract, extract_all, features_path
from .evaluate import scored
from .train import STAGE as WIDE_STAGE
from .train import Stage, save, train, train_all
from .visqol_fast import FastVisqol

PARTS = {"test": 25, "dev": 12, "train": 150}  # of those of labels.PARTS
STAGE = Stage(4000, 5e-4)


def folder_of(cache: Path) -> Path:
    """Where the labels of sounds cut at 8 kHz are kept under `cache`."""
    return labels.folder_of(cache) / "16k"


def narrowed(wave: np.ndarray) -> np.ndarray:
    """`wave` [T] at labels.RATE_HZ as it is when it has been at 16 kHz."""
    narrow = soxr.resample(wave, labels.RATE_HZ, NARROW_HZ)
    wide = soxr.resample(narrow, NARROW_HZ, labels.RATE_HZ)[: len(wave)]
    return np.pad(wide, (0, len(wave) - len(wide))).astype(np.float32)


@lru_cache(maxsize=2)
def _teacher(quick: bool) -> FastVisqol:
    return FastVisqol(quick=quick)


def label_part(cache: Path, todo: tuple[str, int]) -> Path:
    """Label one part of `labels.py` again, its sounds cut at 8 kHz; gives the path of the labels."""
    split, part = todo
    name = f"{split}-{part:05d}.parquet"
    table = pd.read_parquet(labels.folder_of(cache) / name)
    kept = np.load((labels.folder_of(cache) / name).with_suffix(".npy"), mmap_mode="r")
    waves = [narrowed(wave.astype(np.float32) / 32768) for wave in kept]
    teacher = _teacher(split == "train")
    visqol, similarity = table["visqol"].to_numpy().copy(), list(table["similarity"])
    for _, rows in table.groupby("clip"):
        rated = [k for k in rows.index[1:] if np.isfinite(visqol[k])]
        answers = teacher.measure(waves[rows.index[0]], [waves[k] for k in rated])
        for k, (score, bands) in zip(rated, answers, strict=True):
            visqol[k], similarity[k] = score, bands.tolist()
    path = folder_of(cache) / name
    np.save(path.with_suffix(".npy"), np.stack([labels.as_int16(wave) for wave in waves]))
    table.assign(visqol=visqol, similarity=similarity).to_parquet(path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    extract(path)  # its features mark a complete part
    path.with_suffix(".npy").unlink()  # the waves are quickly made again from those of labels.py
    return path


def label_all(cache: Path, workers: int, splits: tuple[str, ...] = tuple(PARTS)) -> Path:
    """Label what is missing, in `workers` processes, with a progress bar; gives the folder."""
    labels.run(cache, workers, splits, extract=extract)
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(split, k) for split in splits for k in range(PARTS[split])]
    todo = [
        (s, k) for s, k in wanted if not features_path(folder / f"{s}-{k:05d}.parquet").exists()
    ]
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # ViSQOL's search would use every core
    in_processes("labels", partial(label_part, cache), todo, workers)
    return folder


def test_table(cache: Path, model: EmbeddedPmos, workers: int = 2) -> pd.DataFrame:
    """The test set cut at 8 kHz, scored by `model`; labels that are not in `cache` are made."""
    folder = label_all(cache, workers, ("test",))
    return scored(model.net, Examples(folder, "test", labelled=False))


def main() -> None:
    """The command: see the module."""
    parser = recipe_parser(__doc__, workers="processes that label", seed=0, out=WEIGHTS_16K)
    args = parser.parse_args()
    folder = label_all(args.cache, args.workers)
    torch.set_num_threads(1)
    wide = labels.folder_of(args.cache)
    extract_all(wide, workers=args.workers)
    net = train(
        Examples(folder, "train"), Examples(folder, "dev"), STAGE, args.seed,
        folder / f"checkpoint-{args.seed}-{STAGE.steps}.pt", train_all(wide, args.seed),
    )  # fmt: skip
    note = "; all cut at 8 kHz before they are labelled"
    save(net, args.out, args.seed, (WIDE_STAGE, STAGE), note)
    print(f"wrote {args.out}; `make eval-models` measures it")


if __name__ == "__main__":
    main()
