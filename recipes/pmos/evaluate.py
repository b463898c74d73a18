"""How well pmos-mini scores albums, composers and two families of damage it was never taught.

The test set of `labels.py`: clips of held-out albums and composers, each clean, damaged by two
fresh draws, by one kind at two levels, by the two unseen families, and strongly by hum, wow and
gaps. Intervals are 95%, from resampling tracks. `make eval-models` prints and writes the figures
(`benchmarks/models/embedded.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...audio.sound import Sound
from ...models.pmos.agreement import Measure, calibration, interval, pearson, rmse, spearman
from ...models.pmos.base import CEILING, EmbeddedPmos
from ..common.figures import Figure, figure
from . import labels
from .data import Examples, extract_all
from .labels import UNSEEN

COMMAND = "make eval-models"
GENRES = {  # of the held-out groups
    "fretsonfire-songs-sectoid": "metal", "hyperrogue-music": "game, ambient",
    "nottingham-dataset": "folk tunes, rendered", "trecento": "early music, rendered",
    "josquin": "early music, rendered", "cpebach": "classical, rendered",
}  # fmt: skip
STRONG = ("hum", "wow", "dropout")


def predict(net: torch.nn.Module, examples: Examples) -> np.ndarray:
    """Scores float64 [n], clamped to 1..5."""
    blocks = torch.arange(len(examples)).split(32)
    with torch.inference_mode():
        out = [net(examples.features(block.tolist())).mos.float() for block in blocks]
    return torch.cat(out).clamp(1, 5).double().numpy()


def under_ceiling(t: pd.DataFrame) -> pd.DataFrame:
    """Scores as the teacher could have given them: at most its ceiling."""
    return t.assign(score=t["score"].clip(upper=CEILING))


def scored(net: torch.nn.Module, examples: Examples) -> pd.DataFrame:
    """The labels with `score`; `mos` is ViSQOL's own label, `mended` the one that was taught.

    Also `track` (the recording or score), `kind`, `severity` (the largest) and `clean_score` (of
    the same clip).
    """
    t = examples.table.assign(score=predict(net, examples))
    clean = t[t["version"] == 0].set_index("clip")["score"]
    return t.assign(
        mended=t["mos"], mos=t["visqol"], track=t["name"], clean_score=t["clip"].map(clean),
        severity=t["severities"].map(lambda s: max(s, default=0.0)),
        kind=t["kinds"].map(lambda k: "+".join(k) if len(k) < 2 else "two at once"),
    )  # fmt: skip


def half_clean(t: pd.DataFrame, roles: tuple[str, ...] = ("fresh",)) -> pd.DataFrame:
    """Every version of these roles, and for each of them its clip's clean one."""
    damaged = t[t["role"].isin(roles) & t["mos"].notna()]
    clean = t[t["version"] == 0].set_index("clip").loc[damaged["clip"]].reset_index()
    return pd.concat([damaged, clean], ignore_index=True)


def summary(net: torch.nn.Module, dev: Examples) -> str:
    """Pearson, RMSE and Spearman over a half-clean set, in a line."""
    t = under_ceiling(half_clean(scored(net, dev), ("drawn",)))
    return f"pearson {pearson(t):.4f} rmse {rmse(t):.4f} spearman {spearman(t):.4f}"


def clean_above(t: pd.DataFrame) -> float:
    """Share of versions that score below their own clean clip."""
    return float((t["clean_score"] > t["score"]).mean()) if len(t) else float("nan")


def ladder_steps(t: pd.DataFrame, gap: float = 0.1) -> pd.DataFrame:
    """A row for each clip damaged twice by one kind: the difference of labels and of scores."""
    low, high = (t[t["role"] == "ladder"].groupby("clip").nth(k).set_index("clip") for k in (0, 1))
    steps = pd.DataFrame({
        "track": low["track"], "label": low["mos"] - high["mos"], "score": low["score"] - high["score"],
    })  # fmt: skip
    return steps[steps["label"].abs() > gap]


def in_order(steps: pd.DataFrame) -> float:
    return float((np.sign(steps["label"]) == np.sign(steps["score"])).mean())


def noisy_labels(t: pd.DataFrame, deviation: float = 0.05) -> pd.DataFrame:
    """The labels with a little noise in place of the scores: what ties and crowding leave possible."""
    noise = np.random.default_rng(0).normal(0, deviation, len(t))
    return under_ceiling(t.assign(score=t["mos"] + noise))


def measures(t: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Measure, str]]:
    """(name, rows, measure, unit) of every figure."""
    raw = half_clean(t)
    half = under_ceiling(raw)
    origins = {"": half, "_real": half[~half["rendered"]], "_rendered": half[half["rendered"]]}
    for origin, rows in origins.items():
        yield f"pmos_pearson{origin}", rows, pearson, "coefficient"
        yield f"pmos_rmse{origin}", rows, rmse, "MOS"
        yield f"pmos_spearman{origin}", rows, spearman, "coefficient"
    yield "pmos_pearson_uncut", raw, pearson, "coefficient"
    yield "pmos_rmse_uncut", raw, rmse, "MOS"
    yield "pmos_spearman_uncut", raw, spearman, "coefficient"
    yield "pmos_spearman_of_labels", noisy_labels(half), spearman, "coefficient"
    mended = half.assign(mos=half["mended"])
    yield "pmos_pearson_mended", mended, pearson, "coefficient"
    yield "pmos_rmse_mended", mended, rmse, "MOS"
    for family in UNSEEN:
        yield (
            f"pmos_pearson_{family}",
            under_ceiling(t[t["kind"] == family]),
            pearson,
            "coefficient",
        )
    yield "pmos_order", ladder_steps(t), in_order, "share of pairs"
    worse = t[t["mos"] < 4.0]
    yield "pmos_pairs", worse, clean_above, "share of pairs"
    yield "pmos_pairs_real", worse[~worse["rendered"]], clean_above, "share of pairs"
    strong = t[t["role"] == "strong"]
    yield "pmos_beyond_teacher", strong, clean_above, "share of pairs"
    for kind in STRONG:
        yield f"pmos_beyond_{kind}", strong[strong["kind"] == kind], clean_above, "share of pairs"


def narrow_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Figures of a scorer on sounds of 16 kHz, labelled against clean ones cut alike."""
    half, unit = under_ceiling(half_clean(table)), "coefficient"
    worse = table[table["mos"] < 4.0]
    rows = {
        "pearson": (half, pearson, unit), "rmse": (half, rmse, "MOS"),
        "spearman": (half, spearman, unit),
        "order": (ladder_steps(table), in_order, "share of pairs"),
        "pairs": (worse, clean_above, "share of pairs"),
    }  # fmt: skip
    for family in UNSEEN:
        rows[family] = (under_ceiling(table[table["kind"] == family]), pearson, unit)
    return {f"pmos_16k_{name}": _figure(*of_one) for name, of_one in rows.items()}


def low_rate_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of `low_rates.py`: correlation within a sampling rate, and over all."""
    rows = under_ceiling(table)
    out = {"pmos_pearson_low_rates": _figure(rows, pearson, "coefficient")}
    for rate_hz, part in rows.groupby("rate_hz"):
        out[f"pmos_pearson_{rate_hz}"] = _figure(part, pearson, "coefficient")
    return out


def _figure(rows: pd.DataFrame, measure: Measure, unit: str) -> Figure:
    value, low, high = interval(rows, measure, over="track", tries=300)
    return figure(value, len(rows), unit, COMMAND, low, high)


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """All figures of the model card."""
    out = {name: _figure(*of_one) for name, *of_one in measures(table)}
    worst = min(UNSEEN, key=lambda family: out[f"pmos_pearson_{family}"]["value"])
    out["pmos_pearson_unseen"] = dict(out[f"pmos_pearson_{worst}"])
    return out


def test_table(cache: Path, model: EmbeddedPmos, workers: int = 2) -> pd.DataFrame:
    """The test set scored by `model`; labels that are not in `cache` are made."""
    folder = labels.run(cache, workers, ("test",))
    extract_all(folder, "test")
    return scored(model.net, Examples(folder, "test", labelled=False))


def by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row a kind or genre: how many, mean label, mean score, RMSE, Spearman."""
    rows = {
        name or "clean": {
            "n": len(part), "label": part["mos"].mean(), "score": part["score"].mean(),
            "rmse": rmse(part), "spearman": spearman(part),
        }
        for name, part in table[table["mos"].notna()].groupby(column)
    }  # fmt: skip
    return pd.DataFrame(rows).T.round(3)


def times_real_time(model: EmbeddedPmos, seconds: float = 10.0, sounds: int = 24) -> float:
    """Seconds of sound scored in a second of one core's time: noise-like music, 44.1 kHz stereo."""
    rng = np.random.default_rng(0)
    clips = [
        Sound(rng.standard_normal((2, int(seconds * 44100))).astype(np.float32) / 8, 44100, str(k))
        for k in range(sounds)
    ]
    model.score(clips[:2])
    for sound in clips:
        sound.mono_at(48000)  # shared by every listener, so not counted
    began = time.process_time()
    model.score(clips)
    return sounds * seconds / (time.process_time() - began)


def draw_calibration(table: pd.DataFrame, path: Path) -> None:
    """An SVG: mean label in every bin of the score, with the spread of labels."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "qamdt"
    import matplotlib.pyplot as plt

    bins = calibration(half_clean(table), 0.25)
    plot, axes = plt.subplots(figsize=(4.2, 4))
    axes.plot([1, 5], [1, 5], color="0.7", linewidth=1)
    axes.errorbar(bins["score"], bins["mos"], bins["spread"], fmt="o", markersize=4, capsize=2)
    axes.set(xlabel="pmos-mini", ylabel="ViSQOL, mean and spread", xlim=(1, 5), ylim=(1, 5))
    plot.tight_layout()
    plot.savefig(path, metadata={"Date": None})
    plt.close(plot)
