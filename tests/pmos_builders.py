"""Labelled parts of the p-MOS recipe, small."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from test_degrade import music

from qamdt.audio.damage.degrade import degrade
from qamdt.recipes.pmos.labels import TOP, Example


def part(folder: Path, split: str, first: int) -> None:
    """Two clips with four versions each, labelled by a formula instead of ViSQOL."""
    rows, waves = [], []
    for number in (first, first + 1):
        wave = music(1, 1.5, 48000)
        for version, snr_db in enumerate((None, 30, 15, 0)):
            kinds = [] if snr_db is None else ["white"]
            row = Example(
                split, number, version, "drawn" if version else "clean", f"t{number}", "g", False,
                "", kinds, [0.5] * len(kinds), TOP if snr_db is None else 1 + snr_db / 10,
            )  # fmt: skip
            hurt = wave if snr_db is None else degrade(wave, 48000, "white", snr_db, number)
            rows.append(asdict(row))
            waves.append(np.round(hurt[0] * 8000).astype(np.int16))
    path = folder / f"{split}-{first:05d}.parquet"
    pd.DataFrame(rows).to_parquet(path)
    np.save(path.with_suffix(".npy"), np.stack(waves))
