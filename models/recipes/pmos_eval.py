"""How well pmos-mini hears, on albums and composers it was never taught.

    python -m qamdt.models.recipes.pmos_eval --cache DIR [--figures FILE]

prints and writes the figures of the model card from the committed weights and the labels in DIR.
Intervals are 95%, from resampling clips (versions of one clip stay together).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...schemas.figures import write_figures
from ..pmos import WEIGHTS, EmbeddedPmos
from .labels import FIRST_PLAIN, folder_of
from .pmos_data import Examples

COMMAND = "python -m qamdt.models.recipes.pmos_eval"
DEMO_KINDS = ("white", "clip", "lowpass", "mp3", "hum", "crackle", "dropout")


def predict(net: torch.nn.Module, examples: Examples) -> np.ndarray:
    """Scores float64 [n], clamped to 1..5, of whole clips."""
    net.eval()
    with torch.inference_mode():
        out = [net(block.float()).mos.float() for block in examples.features.split(32)]
    return torch.cat(out).clamp(1, 5).double().numpy()


def pearson(t: pd.DataFrame) -> float:
    return float(np.corrcoef(t["mos"], t["score"])[0, 1])


def spearman(t: pd.DataFrame) -> float:
    return float(np.corrcoef(t["mos"].rank(), t["score"].rank())[0, 1])


def rmse(t: pd.DataFrame) -> float:
    return float(np.sqrt(((t["mos"] - t["score"]) ** 2).mean()))


def clean_above(t: pd.DataFrame) -> float:
    """Share of pairs in which a clip scores above its own version labelled below 4."""
    worse = t[t["mos"] < 4.0]
    return float((worse["clean_score"] > worse["score"]).mean())


def auc(t: pd.DataFrame, kind: str) -> float:
    """Probability that some clean clip scores above some clip with `kind` at severity over .4."""
    hit = t["kinds"].map(lambda kinds: list(kinds) == [kind]) & (t["severity"] > 0.4)
    good = t.loc[t["version"] == 0, "score"].to_numpy()[:, None]
    bad = t.loc[hit, "score"].to_numpy()
    if not len(bad) or not len(good):
        return float("nan")
    return float((good > bad).mean() + 0.5 * (good == bad).mean())


def interval(t: pd.DataFrame, measure: Callable[[pd.DataFrame], float]) -> dict[str, object]:
    """A figure with its 95% interval over clips, from 200 resamplings."""
    rng = np.random.default_rng(0)
    rows = list(t.groupby("clip").indices.values())
    tries = []
    for _ in range(200):
        drawn = rng.integers(0, len(rows), len(rows))
        tries.append(measure(t.iloc[np.concatenate([rows[k] for k in drawn])]))
    low, high = np.nanquantile(tries, [0.025, 0.975])
    return {
        "value": round(measure(t), 4), "low": round(float(low), 4), "high": round(float(high), 4),
        "n": len(t), "unit": "MOS" if measure is rmse else "share, or coefficient", "command": COMMAND,
    }  # fmt: skip


def scored(net: torch.nn.Module, examples: Examples) -> pd.DataFrame:
    """The labels with `score`, the `clean_score` of the same clip and the largest `severity`.

    Clips that were used clean alone are left out: they would make every figure look better.
    """
    table = examples.table.assign(score=predict(net, examples))
    table = table[table["clip"] < FIRST_PLAIN]
    clean = table[table["version"] == 0].set_index("clip")["score"]
    return table.assign(
        clean_score=table["clip"].map(clean),
        severity=table["severities"].map(lambda s: max(s, default=0.0)),
        kind=table["kinds"].map(lambda k: "+".join(k) if len(k) < 2 else "two at once"),
    )


def figures(t: pd.DataFrame) -> dict[str, dict[str, object]]:
    """All figures of the model card: over everything, by origin, by kind."""
    measures: dict[str, Callable[[pd.DataFrame], float]] = {
        "pearson": pearson, "spearman": spearman, "rmse": rmse, "clean_above": clean_above,
    }  # fmt: skip
    parts = {"": t, "_real": t[~t["rendered"]], "_rendered": t[t["rendered"]]}
    found = {
        f"pmos_{name}{which}": interval(part, measure)
        for which, part in parts.items()
        for name, measure in measures.items()
    }
    for kind in DEMO_KINDS:
        found[f"pmos_auc_{kind}"] = interval(t, partial(auc, kind=kind))
    return found


def by_kind(t: pd.DataFrame) -> pd.DataFrame:
    """A row a kind: how many, mean label, mean score, RMSE, Spearman."""
    rows = {
        kind or "clean": {
            "n": len(part), "label": part["mos"].mean(), "score": part["score"].mean(),
            "rmse": rmse(part), "spearman": spearman(part) if kind else float("nan"),
        }
        for kind, part in t.groupby("kind")
    }  # fmt: skip
    return pd.DataFrame(rows).T.round(3)


def main() -> None:
    """The command: figures of the committed weights on the held-out albums and composers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--split", default="test", choices=["dev", "test"])
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--figures", type=Path, help="write the figures here as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = EmbeddedPmos(weights=given.weights)
    table = scored(model.net, Examples(folder_of(given.cache), (given.split,)))
    found = figures(table)
    for name, figure in found.items():
        print(f"{name:24} {figure['value']:6.3f}  [{figure['low']:.3f}, {figure['high']:.3f}]")
    print(by_kind(table).to_string())
    if given.figures:
        write_figures(given.figures, found)


if __name__ == "__main__":
    main()
