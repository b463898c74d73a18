"""Quality levels: the table at every bound, monotone, and equal in Python and SQL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.curate.config import QuantizeConfig
from qamdt.curate.quality.quantize import (
    Statistics,
    level_edges,
    level_of,
    prefix_edges,
    prefix_of,
    quantize,
)
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import connect
from qamdt.schemas.tables import Clip, File, Pmos

MU, SIGMA = 3.80, 0.20
STATS = Statistics("set", "m", 100, MU, SIGMA, -0.5, [], [3.4, 3.7, 3.9, 4.1])

# (k, level just below, at, just above mu + k sigma)
LADDER = [(-2, 1, 2, 2), (-1, 2, 3, 3), (0, 3, 3, 3), (1, 3, 4, 4), (2, 4, 5, 5)]
PRINTED = [(-2, 1, 1, 1), (-1, 1, 2, 2), (0, 2, 3, 4), (1, 4, 5, 5), (2, 5, 5, 5)]


@pytest.mark.parametrize(("scheme", "table"), [("ladder", LADDER), ("printed", PRINTED)])
@pytest.mark.parametrize("row", range(5))
def test_levels_at_every_bound(scheme: str, table: list, row: int) -> None:
    k, below, at, above = table[row]
    edges = level_edges(scheme, STATS)
    bound = {-2: MU - 2 * SIGMA, -1: MU - SIGMA, 0: MU, 1: MU + SIGMA, 2: MU + 2 * SIGMA}[k]
    assert [level_of(bound + d, edges) for d in (-1e-6, 0, 1e-6)] == [below, at, above]


@given(st.floats(0, 5))
def test_printed_is_the_formula_as_printed_clipped(score: float) -> None:
    """floor is taken in exact arithmetic: only scores a hair away from a bound may differ."""
    if min(abs(score - (MU + k * SIGMA)) for k in range(-20, 8)) < 1e-9:
        return
    formula = int(np.floor((score - (MU - 2 * SIGMA)) / SIGMA)) + (2 if score > MU else 1)
    assert level_of(score, level_edges("printed", STATS)) == min(max(formula, 1), 5)


@given(st.floats(0, 5))
def test_ladder_is_the_formula_with_r_swapped_and_clipped(score: float) -> None:
    if min(abs(score - (MU + k * SIGMA)) for k in range(-20, 8)) < 1e-9:
        return
    formula = int(np.floor((score - (MU - 2 * SIGMA)) / SIGMA)) + (1 if score >= MU else 2)
    assert level_of(score, level_edges("ladder", STATS)) == min(max(formula, 1), 5)


def test_printed_never_yields_3_on_drawn_scores() -> None:
    draws = np.random.default_rng(0).normal(MU, SIGMA, 200_000)
    edges = level_edges("printed", STATS)
    assert set(np.searchsorted(edges, draws, side="right") + 1) == {1, 2, 4, 5}


@pytest.mark.parametrize("scheme", ["ladder", "printed", "released", "quantile"])
@given(a=st.floats(0, 5), b=st.floats(0, 5))
def test_levels_are_monotone_and_in_range(scheme: str, a: float, b: float) -> None:
    edges = level_edges(scheme, STATS)
    low, high = sorted((a, b))
    assert 1 <= level_of(low, edges) <= level_of(high, edges) <= 5


def test_no_spread_is_level_3() -> None:
    flat = Statistics("set", "m", 5, 3.0, 0.0, 0.0, [], [3.0] * 4)
    assert level_of(3.0, level_edges("ladder", flat)) == 3


E_ = 1e-6
PREFIX_TABLE = {
    "paper": [
        (3.4 - E_, "low quality"), (3.4 + E_, None), (3.6 - E_, None), (3.6 + E_, "medium quality"),
        (4.0 - E_, "medium quality"), (4.0 + E_, None), (4.2 - E_, None), (4.2 + E_, "high quality"),
    ],
    "released": [
        (3.55, "low quality"), (3.55 + E_, "medium quality"), (4.05 - E_, "medium quality"),
        (4.05, "high quality"),
    ],
    "quantile": [
        (3.4 - E_, "low quality"), (3.4, "medium quality"), (4.1 - E_, "medium quality"),
        (4.1, "high quality"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("scheme", PREFIX_TABLE)
def test_prefixes_at_every_bound(scheme: str) -> None:
    edges = prefix_edges(scheme, STATS)
    for score, expected in PREFIX_TABLE[scheme]:
        assert prefix_of(score, edges) == expected, score


def _scored(root: Path, scores: list[tuple[str, float | None]]) -> Dataset:
    """A dataset folder with scores of two sources; None is an error row."""
    dataset = Dataset(root)
    for table in ("files", "clips", "pmos"):
        dataset.adopt(table, "f", {"parents": {} if table != "pmos" else {"clips": "f"}})
    dataset.commit(File, "f", [File(path="/a", root="/", scan=1, sha256="h")])
    clips, rows = [], []
    for i, (source, score) in enumerate(scores):
        key = f"{i:04}"
        clips.append(
            Clip(clip_id=key, path="/a", scan=1, file_sha256="h", window_index=i, start_s=0.0,
                 duration_s=1.0, source=source)
        )  # fmt: skip
        bad = {"status": "error", "error_type": "E", "error_message": "m"} if score is None else {}
        rows.append(Pmos(clip_id=key, pmos=score, model_id="m", **bad))
    dataset.commit(Clip, "f", clips)
    dataset.commit(Pmos, "f", rows)
    return dataset


@pytest.mark.parametrize("scheme", ["ladder", "printed", "released", "quantile"])
def test_sql_gives_what_python_gives(tmp_path: Path, scheme: str) -> None:
    draws = np.random.default_rng(1).normal(3.7, 0.3, 400).astype(np.float32)
    dataset = _scored(tmp_path, [("x", float(s)) for s in draws] + [("x", None)])
    config = QuantizeConfig(scheme=scheme, prefixes="released" if scheme == "released" else "paper")
    summary, (bounds,) = quantize(dataset, config)
    assert bounds.n == 400 and summary.counts["levels", "ok"] == 400
    assert summary.counts["levels", "error"] == 1
    assert bounds.mu == pytest.approx(draws.astype(float).mean(), abs=1e-9)
    assert bounds.sigma == pytest.approx(draws.astype(float).std(), abs=1e-9)
    z = (draws.astype(float) - bounds.mu) / bounds.sigma
    assert bounds.skew == pytest.approx((z**3).mean(), abs=1e-9)
    stats = Statistics(
        "set", "m", 400, bounds.mu, bounds.sigma, 0, [],
        list(np.quantile(draws.astype(float), [0.2, 0.4, 0.6, 0.8])),
    )  # fmt: skip
    with connect(dataset) as con:
        rows = con.execute(
            "SELECT p.pmos::DOUBLE, quality_level, quality_prefix FROM levels l"
            " JOIN pmos p USING (clip_id) WHERE l.status = 'ok'"
        ).fetchall()
    for score, level, prefix in rows:
        assert level == level_of(score, bounds.edges)
        assert prefix == prefix_of(score, prefix_edges(config.prefixes, stats))
    assert sum(bounds.level_counts) == 400


def test_per_source_and_incremental(tmp_path: Path) -> None:
    """New audio makes the levels of all clips anew, with the n they were made from."""
    dataset = _scored(tmp_path, [("x", 3.0), ("x", 4.0), ("y", 2.0), ("y", 2.2)])
    first, bounds = quantize(dataset, QuantizeConfig(per="source"))
    assert [(b.grouping, b.n) for b in bounds] == [("x", 2), ("y", 2)]
    again, _ = quantize(dataset, QuantizeConfig(per="source"))
    assert again.counts == first.counts == {("levels", "ok"): 4}
    dataset.commit(Pmos, "f", [Pmos(clip_id="0000x", pmos=1.0, model_id="m")])  # of no clip
    _, bounds = quantize(dataset, QuantizeConfig(per="source"))
    assert [b.n for b in bounds] == [2, 2]
    assert len(list((tmp_path / "levels").iterdir())) == 2  # one state and the pointer
