"""Measures the embedded models on what they were not trained on: `make eval-models`.

    python -m qamdt.benchmarks.models.embedded --out figures/models.json [--only pmos,clap]

Prints a table a model and writes the figures. Music comes from the cache, or is fetched and
labelled first (about ten minutes on two cores).

pmos_*, pmos_x_realtime             pmos-mini: agreement with ViSQOL by kind of damage and rate; speed
pmos_16k_*, pmos_mini_at_16k_*      pmos-mini-16k on sounds of 16 kHz, and pmos-mini on the same
clap_*, clap_*_standin              clap-mini: `recipes/clap/evaluate.py`; tagtext-mini beside it
tags_*                              tags-mini: `recipes/tags/evaluate.py`
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ...recipes.common.command import default_cache
from ..figures import Figures, Only, figure, measure_parts

CALIBRATION = Path(__file__).parents[2] / "models" / "weights" / "pmos-mini-calibration.svg"


def pmos(cache: Path, workers: int) -> Figures:
    """pmos-mini: figures, and the tables and the plot of its card."""
    from ...models.pmos.base import EmbeddedPmos
    from ...recipes.pmos import evaluate
    from ...recipes.pmos.low_rates import low_rate_table

    model = EmbeddedPmos()
    table = evaluate.test_table(cache, model, workers)
    speed, unit = evaluate.times_real_time(model), "x real time, one core"
    fair = evaluate.half_clean(table, ("fresh", "unseen"))
    print(evaluate.by(fair, "kind").to_string(), end="\n\n")
    print(evaluate.by(fair.assign(genre=fair["group"].map(evaluate.GENRES)), "genre").to_string())
    evaluate.draw_calibration(table, CALIBRATION)
    return {
        **evaluate.figures(table),
        **evaluate.low_rate_figures(low_rate_table(cache, model)),
        "pmos_x_realtime": figure(speed, 24, unit, evaluate.COMMAND),
    }


def pmos_16k(cache: Path, workers: int) -> Figures:
    """pmos-mini-16k, beside pmos-mini on the same sounds of 16 kHz."""
    from ...models.pmos.base import EmbeddedPmos, EmbeddedPmos16k
    from ...recipes.pmos import evaluate
    from ...recipes.pmos.train_16k import test_table

    table = test_table(cache, EmbeddedPmos16k(), workers)
    other = evaluate.narrow_figures(test_table(cache, EmbeddedPmos(), workers))
    print(evaluate.by(evaluate.half_clean(table, ("fresh", "unseen")), "kind").to_string())
    shared = ("pmos_16k_pearson", "pmos_16k_spearman", "pmos_16k_order")
    return evaluate.narrow_figures(table) | {
        name.replace("pmos_16k", "pmos_mini_at_16k"): other[name] for name in shared
    }


def clap(cache: Path, workers: int) -> Figures:
    """clap-mini, beside the stand-in tagtext-mini."""
    from ...recipes.clap.evaluate import figures

    return figures(cache)


def tags(cache: Path, workers: int) -> Figures:
    """tags-mini: thresholds; tempo and key."""
    from ...recipes.tags.evaluate import figures

    return figures(cache)


MODELS: dict[str, Callable[[Path, int], Figures]] = {
    "pmos": pmos,
    "pmos-16k": pmos_16k,
    "clap": clap,
    "tags": tags,
}


def main(
    out: Annotated[Path | None, typer.Option(help="write the figures here as JSON")] = None,
    only: Only = "",
    cache: Annotated[Path | None, typer.Option(help="music, labels, features")] = None,
    workers: Annotated[int, typer.Option(help="processes that label")] = 2,
) -> None:
    """Measure the models named and put them into the file; figures of other models stay."""
    import torch

    torch.set_num_threads(1)
    folder = cache or default_cache()
    parts = {name: partial(_measure, name, folder, workers) for name in MODELS}
    measure_parts(parts, only, out)


def _measure(name: str, cache: Path, workers: int, work: Path) -> Figures:
    """A model needs no folder to work in: what it makes stays in the cache."""
    return MODELS[name](cache, workers)


if __name__ == "__main__":
    typer.run(main)
