"""Measure the evaluator and write figures/evaluator.json: one figure a name, with its command.

python -m qamdt.benchmarks.evaluation.evaluator --out figures/evaluator.json \
      [--only speed,exact,coverage,run]

frechet_speedup_512, frechet_speedup_2048   scipy's sqrtm over ours, process CPU time, one run
frechet_error, frechet_error_few, merge_error   relative, against closed forms and a single pass
fad_coverage, fad_bias, kad_coverage        of 95% intervals, in simulations with known truth
eval_x_realtime, cache_speedup              1000 synthetic clips, all embedded metrics, 2 workers;
                                            CPU time, and `_wall` by the clock
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer

from ...evaluate.metrics.frechet import frechet_distance, from_moments
from ...recipes.common.figures import share_figure
from ..figures import Figures, Only, Out, Parts, figure, measure_parts
from . import simulate
from .tunes import write_tunes

COMMAND = "make figures-evaluator"
CLIPS, REFERENCE, WORKERS = 1000, 200, 2


def measure_speed(work: Path) -> Figures:
    """sqrtm of the product, as other tools do it, over ours: medians of CPU time in one process."""
    speedups = {}
    for dim, repeats in ((512, 7), (2048, 3)):
        a, b = simulate.covariances(dim)
        ones = [from_moments(10**6, np.zeros(dim), c) for c in (a, b)]
        ours, theirs, errors = [], [], []
        for _ in range(repeats):
            seconds, mine = _cpu(partial(frechet_distance, *ones))
            ours.append(seconds)
            seconds, other = _cpu(partial(simulate.by_sqrtm, a, b))
            theirs.append(seconds)
            errors.append(abs(mine - other) / other)
        if max(errors) > 1e-9:
            raise RuntimeError(f"sqrtm and ours differ by {max(errors):.1e} at D = {dim}")
        ratio = float(np.median(theirs) / np.median(ours))
        unit = "x less CPU time than scipy sqrtm"
        speedups[f"frechet_speedup_{dim}"] = figure(ratio, repeats, unit, COMMAND)
    return speedups


def _cpu(compute: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = compute()
    return time.process_time() - start, value


def measure_exact(work: Path) -> Figures:
    """Largest relative errors, as -log10: 15 is one in 10^15."""
    cases = {
        "frechet_error": [simulate.closed_form_error(d, c) for d in (64, 512) for c in (1e4, 1e10)],
        "frechet_error_few": [simulate.few_rows_error(n, 512) for n in (50, 200, 500)],
        "merge_error": [simulate.merge_error(7, seed) for seed in range(5)],
    }
    return {
        name: figure(
            float(-np.log10(max(*errors, 1e-17))), len(errors), "digits, the worst case", COMMAND
        )
        for name, errors in cases.items()
    }


def measure_coverage(work: Path) -> Figures:
    """Shares of 95% intervals that hold the truth, n = 1000, D = 128, both sides sampled."""
    runs = simulate.coverage(repeats=100, n=1000, dim=128)
    hits = np.concatenate([r.covered for r in runs])
    bias = float(np.abs([r.bias / r.spread for r in runs]).max())
    kad_hits = simulate.kad_coverage(repeats=200, n=300, dim=32)
    return {
        "fad_coverage": share_figure(hits, "share of 95% intervals, 5 kinds of truth", COMMAND),
        "fad_bias": figure(
            bias, len(hits), "mean error of unbiased FAD over its deviation, worst kind", COMMAND
        ),
        "kad_coverage": share_figure(kad_hits, "share of 95% intervals of KAD", COMMAND),
    }


def measure_run(work: Path) -> Figures:
    """The command as a user runs it, twice: models run, then everything from the cache."""
    captions = write_tunes(work / "generated", CLIPS)
    write_tunes(work / "reference", REFERENCE, seed=10_000)
    command = [
        sys.executable, "-m", "qamdt.evaluate.cli", "run", work / "generated",
        "--reference", work / "reference", "--captions", captions, "--cache", work / "cache",
        "--workers", WORKERS,
    ]  # fmt: skip
    runs = [_timed([*command, "--out", work / f"results{k}"]) for k in range(2)]
    numbers = [json.loads((work / f"results{k}" / "results.json").read_text()) for k in range(2)]
    if numbers[0]["numbers"] != numbers[1]["numbers"] or numbers[0]["absent"]:
        raise RuntimeError("the two runs give different numbers, or lack one")
    audio_s = 10.0 * (CLIPS + REFERENCE)
    (wall, cpu), (wall_again, cpu_again) = runs
    what = (
        f"{CLIPS} clips and {REFERENCE} of the reference, all metrics, 24 different captions, "
        f"{WORKERS} workers"
    )
    return {
        "eval_x_realtime": figure(
            audio_s / (cpu / WORKERS), CLIPS,
            f"x real time on {WORKERS} cores, by CPU time of all processes, imports and report "
            f"included; {what}", COMMAND,
        ),
        "eval_x_realtime_wall": figure(
            audio_s / wall, CLIPS, f"x real time by the clock of this shared machine; {what}", COMMAND
        ),
        "cache_speedup": figure(
            cpu / cpu_again, CLIPS, "x less CPU time the second time", COMMAND
        ),
        "cache_speedup_wall": figure(
            wall / wall_again, CLIPS, "x faster the second time, by the clock", COMMAND
        ),
    }  # fmt: skip


def _timed(command: list[Any]) -> tuple[float, float]:
    """(wall seconds, CPU seconds of the command and all processes it started, workers included)."""
    import psutil

    start = time.monotonic()
    done = psutil.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    spent: dict[tuple[int, float], float] = {}  # of each process, when it was last seen
    while done.poll() is None:
        for process in [done, *_children(done)]:
            try:
                times = process.cpu_times()
                spent[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:  # it has just ended: what it was last seen with counts
                continue
        time.sleep(0.1)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}")
    return time.monotonic() - start, sum(spent.values())


def _children(process: Any) -> list[Any]:
    import psutil

    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


PARTS: Parts = {
    "speed": measure_speed,
    "exact": measure_exact,
    "coverage": measure_coverage,
    "run": measure_run,
}


def main(out: Out = Path("figures/evaluator.json"), only: Only = "") -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        measure_parts(PARTS, only, out)


if __name__ == "__main__":
    typer.run(main)
