"""Is the quality level heard? Pairs of generated sounds, judged by two scorers.

    python -m qamdt.train.recipes.quality_proof prompts out/proof/dataset out/proof/prompts.jsonl
    qamdt-train generate RUN --prompts out/proof/prompts.jsonl --out out/proof/sounds ...
    python -m qamdt.train.recipes.quality_proof judge out/proof/sounds --out figures/codec.json

`prompts` writes 32 prompts, captions of the set in turn, each at level 1 and level 5 with the same
seed. `judge` gives the mean difference of p-MOS, level 5 less level 1, with a bootstrap interval over
pairs: by pmos-mini, which labelled the training set, and by a second judge that did not and is of
another kind (gradient boosting over means and deviations of the same front end, taught ViSQOL's
labels of the p-MOS recipe on sounds cut at 8 kHz). Both are held against ViSQOL on development clips
cut at 8 kHz first: a judge that cannot rank those proves nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.mel import RATE_HZ as MEL_RATE_HZ
from ...audio.sound import Sound
from ...models.pmos import EmbeddedPmos, PmosModel
from ...models.recipes import labels
from ...schemas.errors import ConfigError, StoreError
from ...schemas.figures import write_figures
from ...schemas.views import connect
from ..page import Heard, heard
from .codec_figures import figure

COMMAND = "make quality-proof"
PAIRS, LOW, HIGH = 32, 1.0, 5.0
Judge = Callable[[Sequence[Heard]], np.ndarray]


def write_prompts(dataset: Path, out: Path, pairs: int = PAIRS) -> int:
    """Write the prompts, a line each; returns how many. Raises StoreError for a set without captions."""
    sql = "SELECT caption FROM clips WHERE caption IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
    with connect(dataset) as con:
        captions = [c for (c,) in con.execute(sql).fetchall()]
    if not captions:
        raise StoreError(f"{dataset}: no clip has a caption")
    lines = [
        {"prompt": captions[k % len(captions)], "quality": level, "seed": k}
        for k in range(pairs)
        for level in (LOW, HIGH)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)


def differences(sounds: Sequence[Heard], scores: np.ndarray) -> np.ndarray:
    """Score at the high level less score at the low one, of each prompt and seed. Raises StoreError."""
    found: dict[tuple[str, int], dict[float, float]] = {}
    for sound, score in zip(sounds, scores, strict=True):
        key = str(sound.line["prompt"]), int(sound.line["seed"])
        found.setdefault(key, {})[float(sound.line["quality"])] = float(score)
    pairs = [v[HIGH] - v[LOW] for v in found.values() if LOW in v and HIGH in v]
    if not pairs:
        raise StoreError(f"no prompt has a sound at level {LOW:g} and at level {HIGH:g}")
    return np.array(pairs)


class SecondJudge:
    """Gradient boosting over statistics of the p-MOS front end; never heard of pmos-mini's weights.

    It learns ViSQOL's labels of sounds of 48 kHz, heard as if they had been 16 kHz: what is cut off
    above 8 kHz is no damage here, as all that is judged ends there.
    """

    def __init__(self, folder: Path, parts: int = 10, seed: int = 0) -> None:
        """Learn from the labels in a folder. Raises ConfigError where there are none."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        examples = Examples.read(folder, "train", parts)
        rows = np.concatenate([as_heard(w, MEL_RATE_HZ) for w in examples.waves])
        self.model = HistGradientBoostingRegressor(
            max_iter=300, learning_rate=0.06, max_leaf_nodes=24, max_features=0.2, random_state=seed
        )
        self.model.fit(rows, examples.mos)

    def __call__(self, sounds: Sequence[Heard]) -> np.ndarray:
        return np.concatenate([self.score([s.wave], s.rate_hz) for s in sounds])

    def score(self, waves: Sequence[np.ndarray], rate_hz: int) -> np.ndarray:
        """Scores [n] of waves [N]."""
        rows = [as_heard(wave, rate_hz) for wave in waves]
        return np.asarray(self.model.predict(np.concatenate(rows)))


@dataclass(frozen=True)
class Examples:
    """Sounds of the p-MOS recipe as they are at 16 kHz: waves [N] and labels [n]."""

    waves: list[np.ndarray]
    mos: np.ndarray

    @classmethod
    def read(cls, folder: Path, split: str, parts: int) -> Examples:
        """The labelled ones of the first parts of a split. Raises ConfigError where there are none."""
        import pandas as pd
        import soxr

        tables = sorted(folder.glob(f"{split}-*.parquet"))[:parts]
        if not tables:
            raise ConfigError(f"{folder} holds no labels: `make train-pmos` makes them")
        waves, mos = [], []
        for path in tables:
            table = pd.read_parquet(path)
            kept = np.load(path.with_suffix(".npy"), mmap_mode="r")
            for k in np.flatnonzero(table["visqol"].notna()):
                one = table.iloc[k]
                wave = kept[k].astype(np.float32) / 32768
                waves.append(soxr.resample(wave, labels.RATE_HZ, MEL_RATE_HZ))
                mos.append(
                    labels.mended(one["visqol"], list(one["kinds"]), list(one["severities"]))
                )
        return cls(waves, np.array(mos))


def agreement(scores: np.ndarray, examples: Examples) -> dict[str, Any]:
    """Spearman's correlation of a judge's scores with ViSQOL's labels, by bootstrap over sounds."""
    from scipy.stats import spearmanr

    rng, n = np.random.default_rng(0), len(scores)
    draws = [rng.integers(0, n, n) for _ in range(500)]
    every = [float(spearmanr(scores[d], examples.mos[d])[0]) for d in draws]
    low, high = np.quantile(every, [0.025, 0.975])
    value = float(spearmanr(scores, examples.mos)[0])
    return {
        "value": value, "low": float(low), "high": float(high), "n": n,
        "unit": "Spearman with ViSQOL, cut at 8 kHz", "command": COMMAND,
    }  # fmt: skip


def judges_judged(folder: Path, second: SecondJudge, pmos: PmosModel) -> dict[str, dict[str, Any]]:
    """How well both judges rank development sounds that are cut at 8 kHz."""
    dev = Examples.read(folder, "dev", 4)
    own = pmos.score([Sound(w[None], MEL_RATE_HZ) for w in dev.waves])
    other = second.score(dev.waves, MEL_RATE_HZ)
    return {
        "judge_16k_spearman": agreement(own, dev),
        "second_judge_16k_spearman": agreement(other, dev),
    }


def as_heard(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Statistics float32 [1, 4 C] of a wave [N], brought to 16 kHz and from there to 48 kHz."""
    import soxr
    import torch

    from ...models.pmos_front import RATE_HZ, features

    narrow = soxr.resample(wave, rate_hz, MEL_RATE_HZ) if rate_hz != MEL_RATE_HZ else wave
    wide = soxr.resample(narrow, MEL_RATE_HZ, RATE_HZ).astype(np.float32)
    with torch.inference_mode():
        return statistics(features(torch.from_numpy(wide)[None]).float().numpy())


def statistics(features: np.ndarray) -> np.ndarray:
    """Mean, deviation and two quantiles of every channel, float32 [n, 4 C], of features [n, C, N]."""
    low, high = np.quantile(features, [0.1, 0.9], axis=2)
    return np.concatenate([features.mean(2), features.std(2), low, high], axis=1, dtype=np.float32)


def judged(sounds: Sequence[Heard], second: Judge) -> dict[str, dict[str, Any]]:
    """The figures of the proof."""
    own = differences(sounds, np.array([s.pmos for s in sounds]))
    other = differences(sounds, second(sounds))
    first = figure(own, "MOS, level 5 less level 1", COMMAND)
    low = {**first, "value": first["low"], "low": None, "high": None, "unit": "MOS, 2.5% quantile"}
    return {
        "quality_gap": first,
        "quality_gap_low": low,
        "quality_gap_second_judge": figure(other, "MOS, level 5 less level 1", COMMAND),
    }


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["prompts", "judge"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument(
        "--labels", type=Path, default=labels.folder_of(Path.home() / ".cache" / "qamdt"),
        help="labels of the p-MOS recipe, that the second judge learns from",
    )  # fmt: skip
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "prompts":
        print(write_prompts(given.folder, given.file))
        return
    pmos, second = EmbeddedPmos(), SecondJudge(given.labels)
    found = judges_judged(given.labels, second, pmos)
    found |= judged(heard(given.folder, pmos), second)
    for name, value in found.items():
        low = "" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
        print(f"{name:26} {value['value']:.3f}{low} n={value['n']}")
    if given.out:
        write_figures(given.out, found)


if __name__ == "__main__":
    main()
