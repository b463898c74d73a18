"""Measures the embedded models on what they were never taught: `make eval-models`.

    python -m qamdt.benchmarks.models --out figures/models.json [--only pmos]

prints a table a model and writes the figures. Music comes from the cache, or is fetched and
labelled first (about ten minutes on two cores).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .figures import plain_figure, write_figures

Found = dict[str, dict[str, Any]]
CALIBRATION = Path(__file__).parents[1] / "models" / "weights" / "pmos-mini-calibration.svg"


def pmos(cache: Path, workers: int) -> Found:
    """pmos-mini: figures, and the tables and the plot of its card."""
    from ..models.pmos.base import EmbeddedPmos
    from ..recipes.pmos import pmos_eval
    from ..recipes.pmos.pmos_low_rates import low_rate_table

    model = EmbeddedPmos()
    table = pmos_eval.test_table(cache, model, workers)
    found = pmos_eval.figures(table) | pmos_eval.of_low_rates(low_rate_table(cache, model))
    speed = pmos_eval.times_real_time(model)
    found["pmos_x_realtime"] = plain_figure(speed, 24, "x real time, one core", pmos_eval.COMMAND)
    fair = pmos_eval.half_clean(table, ("fresh", "unseen"))
    print(pmos_eval.by(fair, "kind").to_string(), end="\n\n")
    print(pmos_eval.by(fair.assign(genre=fair["group"].map(pmos_eval.GENRES)), "genre").to_string())
    pmos_eval.draw_calibration(table, CALIBRATION)
    return found


def pmos_16k(cache: Path, workers: int) -> Found:
    """pmos-mini-16k, beside pmos-mini on the same sounds of 16 kHz."""
    from ..models.pmos.base import EmbeddedPmos, EmbeddedPmos16k
    from ..recipes.pmos import pmos_eval
    from ..recipes.pmos.train_pmos_16k import test_table

    table = test_table(cache, EmbeddedPmos16k(), workers)
    found = pmos_eval.narrow_figures(table)
    other = pmos_eval.narrow_figures(test_table(cache, EmbeddedPmos(), workers))
    for name in ("pmos_16k_pearson", "pmos_16k_spearman", "pmos_16k_order"):
        found[name.replace("pmos_16k", "pmos_mini_at_16k")] = other[name]
    fair = pmos_eval.half_clean(table, ("fresh", "unseen"))
    print(pmos_eval.by(fair, "kind").to_string())
    return found


def clap(cache: Path, workers: int) -> Found:
    """clap-mini, beside the stand-in tagtext-mini."""
    from ..recipes.clap import clap_eval

    return clap_eval.figures(cache)


def tags(cache: Path, workers: int) -> Found:
    """tags-mini: thresholds; tempo and key."""
    from ..recipes.tags import tags_eval

    return tags_eval.figures(cache)


MODELS: dict[str, Callable[[Path, int], Found]] = {
    "pmos": pmos, "pmos-16k": pmos_16k, "clap": clap, "tags": tags,
}  # fmt: skip


def show(found: Found) -> None:
    """A line a figure: name, value, 95% interval, n, unit."""
    for name, figure in found.items():
        low, high = figure["low"], figure["high"]
        between = "" if low is None else f"[{low:.3f}, {high:.3f}]"
        print(f"{name:28} {figure['value']:8.3f} {between:16} n={figure['n']:<6} {figure['unit']}")


def main() -> None:
    """The command: see the module."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=list(MODELS))
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, measure in MODELS.items():
        if given.only in (None, name):
            found = measure(given.cache, given.workers)
            print(f"\n{name}")
            show(found)
            if given.out:
                write_figures(given.out, found)


if __name__ == "__main__":
    main()
