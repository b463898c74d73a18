"""Does the quality level have an audible effect? Pairs of generated sounds, judged by two scorers.

    python -m qamdt.benchmarks.training.quality_proof prompts out/proof/dataset out/proof/prompts.jsonl
    qamdt-train generate RUN --prompts out/proof/prompts.jsonl --out out/proof/sounds ...
    python -m qamdt.benchmarks.training.quality_proof judge out/proof/sounds --out figures/codec.json

`prompts` writes 32 prompts, captions of the set in turn, each at level 1 and level 5 with the same
seed. `judge` gives the mean difference of p-MOS, level 5 less level 1, with a bootstrap interval over
pairs: by pmos-mini-16k, which labelled the training set, and by a second judge that did not and is of
another kind (gradient boosting over means and deviations of the same front end). Both were trained on
ViSQOL's labels of sounds cut at 8 kHz, as all is that they judge here, and are compared with those of
development clips first: a judge that cannot rank them proves nothing.

quality_gap, quality_gap_low            level 5 less level 1 by pmos-mini-16k; the interval's low end
quality_gap_second_judge                the same by the second judge
judge_16k_spearman, second_judge_...    each judge's rank correlation with ViSQOL's labels
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...audio.mel import RATE_HZ as MEL_RATE_HZ
from ...models.pmos.base import EmbeddedPmos, EmbeddedPmos16k
from ...pipeline.views import connect
from ...recipes.common.command import default_cache
from ...recipes.common.figures import mean_figure
from ...recipes.pmos.data import Examples
from ...recipes.pmos.evaluate import predict
from ...recipes.pmos.train_16k import label_all
from ...reports.statistics import bootstrap
from ...schemas.errors import StoreError
from ...train.generate.page import ScoredSound, read_sounds
from ..figures import Figure, figure, show_figures, write_figures

COMMAND = "make quality-proof"
PAIRS, LOW, HIGH = 32, 1.0, 5.0
Judge = Callable[[Sequence[ScoredSound]], np.ndarray]


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


def differences(sounds: Sequence[ScoredSound], scores: np.ndarray) -> np.ndarray:
    """Score at the high level less score at the low one, of each prompt and seed. Raises StoreError."""
    by_seed: dict[tuple[str, int], dict[float, float]] = {}
    for sound, score in zip(sounds, scores, strict=True):
        key = str(sound.line["prompt"]), int(sound.line["seed"])
        by_seed.setdefault(key, {})[float(sound.line["quality"])] = float(score)
    pairs = [v[HIGH] - v[LOW] for v in by_seed.values() if LOW in v and HIGH in v]
    if not pairs:
        raise StoreError(f"no prompt has a sound at level {LOW:g} and at level {HIGH:g}")
    return np.array(pairs)


class SecondJudge:
    """Gradient boosting over statistics of the p-MOS front end; shares no weights with a network."""

    def __init__(self, folder: Path, parts: int = 24, seed: int = 0) -> None:
        """Learn from the labels of sounds of 16 kHz. Raises ConfigError where there are none."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        rows, mos = labelled(folder, "train", parts)
        self.model = HistGradientBoostingRegressor(
            max_iter=400, learning_rate=0.05, max_leaf_nodes=24, max_features=0.2, random_state=seed
        )
        self.model.fit(rows, mos)

    def __call__(self, sounds: Sequence[ScoredSound]) -> np.ndarray:
        """Scores [n] of sounds."""
        return self.of(np.concatenate([wave_statistics(s.wave, s.rate_hz) for s in sounds]))

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


def agreement(scores: np.ndarray, mos: np.ndarray) -> Figure:
    """Spearman's correlation of a judge's scores with ViSQOL's labels, by bootstrap over sounds."""
    from scipy.stats import spearmanr

    n = len(scores)
    low, high = bootstrap(lambda d: float(spearmanr(scores[d], mos[d])[0]), n, 500)
    unit = "Spearman with ViSQOL, cut at 8 kHz"
    return figure(float(spearmanr(scores, mos)[0]), n, unit, COMMAND, float(low), float(high))


def judges_figures(folder: Path, second: SecondJudge, pmos: EmbeddedPmos) -> dict[str, Figure]:
    """How well both judges rank development sounds that are cut at 8 kHz."""
    dev = Examples(folder, "dev", parts=12)
    rows, mos = labelled(folder, "dev", 12)
    return {
        "judge_16k_spearman": agreement(predict(pmos.net, dev), mos),
        "second_judge_16k_spearman": agreement(second.of(rows), mos),
    }


def wave_statistics(wave: np.ndarray, rate_hz: int) -> np.ndarray:
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


def proof_figures(sounds: Sequence[ScoredSound], second: Judge) -> dict[str, Figure]:
    """The figures of the proof."""
    own = differences(sounds, np.array([s.pmos for s in sounds]))
    other = differences(sounds, second(sounds))
    unit = "MOS, level 5 less level 1"
    first = mean_figure(own, unit, COMMAND)
    low = {**first, "value": first["low"], "low": None, "high": None, "unit": "MOS, 2.5% quantile"}
    return {
        "quality_gap": first,
        "quality_gap_low": low,
        "quality_gap_second_judge": mean_figure(other, unit, COMMAND),
    }


app = typer.Typer(help="The proof: write prompts, judge what was generated from them.")


@app.command()
def prompts(dataset: Path, out: Path) -> None:
    """Write the prompts; print how many."""
    print(write_prompts(dataset, out))


@app.command()
def judge(
    folder: Annotated[Path, typer.Argument(help="generated sounds")],
    out: Annotated[Path | None, typer.Option(help="write the figures here as JSON")] = None,
    cache: Annotated[Path | None, typer.Option(help="music, labels, features")] = None,
    workers: Annotated[int, typer.Option(help="processes that label, if need be")] = 2,
) -> None:
    """Judge the sounds."""
    labels = label_all(cache or default_cache(), workers, ("train", "dev"))
    pmos, second = EmbeddedPmos16k(), SecondJudge(labels)
    figures = judges_figures(labels, second, pmos)
    figures |= proof_figures(read_sounds(folder, pmos), second)
    show_figures(figures)
    if out:
        write_figures(out, figures)


if __name__ == "__main__":
    app()
