"""Is the quality level heard? Pairs of generated sounds, judged by two scorers.

    python -m qamdt.benchmarks.training.quality_proof prompts out/proof/dataset out/proof/prompts.jsonl
    qamdt-train generate RUN --prompts out/proof/prompts.jsonl --out out/proof/sounds ...
    python -m qamdt.benchmarks.training.quality_proof judge out/proof/sounds --out figures/codec.json

`prompts` writes 32 prompts, captions of the set in turn, each at level 1 and level 5 with the same
seed. `judge` gives the mean difference of p-MOS, level 5 less level 1, with a bootstrap interval over
pairs: by pmos-mini-16k, which labelled the training set, and by a second judge that did not and is of
another kind (gradient boosting over means and deviations of the same front end). Both were taught
ViSQOL's labels of sounds cut at 8 kHz, as all is that they judge here, and are held against those of
development clips first: a judge that cannot rank them proves nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.mel import RATE_HZ as MEL_RATE_HZ
from ...models.pmos.base import EmbeddedPmos, EmbeddedPmos16k
from ...pipeline.views import connect
from ...recipes.pmos.data import Examples
from ...recipes.pmos.evaluate import predict
from ...recipes.pmos.train_16k import label_all
from ...schemas.errors import StoreError
from ...train.generate.page import Heard, heard
from ..figures import write_figures
from .codec import figure

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
    """Gradient boosting over statistics of the p-MOS front end; never heard of a network's weights."""

    def __init__(self, folder: Path, parts: int = 24, seed: int = 0) -> None:
        """Learn from the labels of sounds of 16 kHz. Raises ConfigError where there are none."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        rows, mos = labelled(folder, "train", parts)
        self.model = HistGradientBoostingRegressor(
            max_iter=400, learning_rate=0.05, max_leaf_nodes=24, max_features=0.2, random_state=seed
        )
        self.model.fit(rows, mos)

    def __call__(self, sounds: Sequence[Heard]) -> np.ndarray:
        """Scores [n] of sounds."""
        return self.of(np.concatenate([as_heard(s.wave, s.rate_hz) for s in sounds]))

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Scores [n] of `statistics` rows."""
        return np.asarray(self.model.predict(rows))


def labelled(folder: Path, split: str, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistics [n, 4 C] and labels [n] of the first `parts` parts of a split.

    Raises ConfigError where there are none.
    """
    examples = Examples(folder, split, parts=parts)
    rows = [statistics(examples.features([k]).numpy()) for k in range(len(examples))]
    return np.concatenate(rows), examples.mos.numpy()


def agreement(scores: np.ndarray, mos: np.ndarray) -> dict[str, Any]:
    """Spearman's correlation of a judge's scores with ViSQOL's labels, by bootstrap over sounds."""
    from scipy.stats import spearmanr

    rng, n = np.random.default_rng(0), len(scores)
    draws = [rng.integers(0, n, n) for _ in range(500)]
    every = [float(spearmanr(scores[d], mos[d])[0]) for d in draws]
    low, high = np.quantile(every, [0.025, 0.975])
    return {
        "value": float(spearmanr(scores, mos)[0]), "low": float(low), "high": float(high), "n": n,
        "unit": "Spearman with ViSQOL, cut at 8 kHz", "command": COMMAND,
    }  # fmt: skip


def judges_judged(
    folder: Path, second: SecondJudge, pmos: EmbeddedPmos
) -> dict[str, dict[str, Any]]:
    """How well both judges rank development sounds that are cut at 8 kHz."""
    dev = Examples(folder, "dev", parts=12)
    rows, mos = labelled(folder, "dev", 12)
    return {
        "judge_16k_spearman": agreement(predict(pmos.net, dev), mos),
        "second_judge_16k_spearman": agreement(second.of(rows), mos),
    }


def as_heard(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Statistics float32 [1, 4 C] of a wave [N], brought to 16 kHz and from there to 48 kHz."""
    import soxr
    import torch

    from ...models.pmos.mini_features import RATE_HZ, features

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
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--workers", type=int, default=2, help="processes that label, if need be")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "prompts":
        print(write_prompts(given.folder, given.file))
        return
    folder = label_all(given.cache, given.workers, ("train", "dev"))
    pmos, second = EmbeddedPmos16k(), SecondJudge(folder)
    found = judges_judged(folder, second, pmos)
    found |= judged(heard(given.folder, pmos), second)
    for name, value in found.items():
        low = "" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
        print(f"{name:26} {value['value']:.3f}{low} n={value['n']}")
    if given.out:
        write_figures(given.out, found)


if __name__ == "__main__":
    main()
