"""Measure the line and write figures/line.json: one figure a name, with the command that prints it.

python -m qamdt.benchmarks.curation.line --out figures/line.json \
      [--only demo,listen,driver,chaos,facts,search]

demo_s, demo_*_auc, demo_*_recall   the demo set, made and curated, compared with its truth
listen_x_realtime                   seconds of real music scored per second of the score station
real_minutes, real_kept, real_errors   the line over real music: minutes, clips kept, error rows
driver_mb_1k, driver_mb_20k         peak memory of the driver at 1,000 and 20,000 clips
chaos_rounds, chaos_lost, chaos_doubled   kills at random moments
facts_*                             what captions say of held-out pieces, against the truth
search_s, search_mb                 a search among a million clips
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile as sf
import typer

from ...pipeline.dataset import Dataset
from ...pipeline.views import connect, one_row
from ...recipes.common.command import default_cache
from ..figures import Figures, Only, Out, Parts, figure, measure_parts

COMMAND, REAL_COMMAND = "make figures-line", "make real-music"
CURATE = [sys.executable, "-m", "qamdt.curate.cli"]


def measure_demo(work: Path) -> Figures:
    """Make and curate the demo set, then hold it against its truth."""
    from ...curate.demo.benchmark import bench

    start = time.monotonic()
    _qamdt("demo", work / "music")
    _qamdt("run", work / "music" / "manifest.jsonl", work / "data", "--workers", _cores())
    seconds = time.monotonic() - start
    figures = bench(work / "data", work / "music" / "truth.jsonl")
    clips = _count(work / "data")
    return {"demo_s": figure(seconds, clips, "s, environment built", "make curate"), **figures}


def measure_listening(work: Path) -> Figures:
    """The score station over real music, models loaded included."""
    from ...curate.report.funnel import funnel
    from .real_music import link_tracks

    tracks, seconds = link_tracks(work / "music", default_cache())
    data = work / "data"
    _qamdt("ingest", work / "music", data)
    _qamdt("score", data, "--workers", _cores())
    station = [json.loads(line) for line in (data / "runs.jsonl").read_text().splitlines()][-1]
    with connect(data) as con:
        (scored_s,) = one_row(con, "SELECT sum(duration_s) FROM clips WHERE skip IS NULL")
    _qamdt("run", work / "music", data, "--workers", _cores())  # the stations that are left
    counts = funnel(Dataset(data))
    if any(rows != ok + error for rows, ok, error in counts.tables.values()):
        raise RuntimeError(f"rows are missing: {counts.tables}")
    unit = f"x real time, {_cores()} workers, models loaded included"
    kept = counts.kept / counts.clips
    return {
        "listen_x_realtime": figure(scored_s / station["seconds"], tracks, unit, COMMAND),
        "real_minutes": figure(seconds / 60, tracks, "minutes of music", REAL_COMMAND),
        "real_kept": figure(kept, counts.clips, "share of clips", REAL_COMMAND),
        "real_errors": figure(counts.errors, counts.clips, "error rows", REAL_COMMAND),
    }


def measure_driver(work: Path) -> Figures:
    """Peak memory of the driver process, ingest to decisions, one Ray worker that only measures."""
    figures = {}
    for name, clips in (("driver_mb_1k", 1_000), ("driver_mb_20k", 20_000)):
        source = _many_clips(work / f"music{clips}", clips)
        command = [sys.executable, "-m", "qamdt.benchmarks.curation.line", "--driver", str(source)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak = float(output.strip().splitlines()[-1])
        figures[name] = figure(peak, clips, "MB, peak of the driver process", COMMAND)
    return figures


def measure_chaos(work: Path) -> Figures:
    """Twenty kills: ten of runs in one process and, beside them, ten of runs on Ray."""
    from .chaos import chaos, make_music
    from .compare_datasets import compare

    source = make_music(work / "music", files=3)

    def ten(workers: int) -> dict[str, int]:
        flags = ("--llm", "none")
        return chaos(10, workers, work / f"on{workers}", *flags, ways=[workers], source=source)

    with ThreadPoolExecutor(2) as pool:
        one, ray = pool.map(ten, (0, 2))
    apart = compare(Dataset(work / "on0" / "reference0"), Dataset(work / "on2" / "reference2"))
    if not apart.none:
        raise RuntimeError(f"runs in one process and on Ray differ: {apart}")
    kills = one["rounds"] + ray["rounds"]
    return {
        f"chaos_{name}": figure(one[name] + ray[name], kills, unit, COMMAND)
        for name, unit in (("rounds", "kills"), ("lost", "rows"), ("doubled", "rows"))
    }


def measure_facts(work: Path) -> Figures:
    """What captions say of held-out pieces; their clips are kept in the cache."""
    from .facts import figures

    return figures()


def measure_searching(work: Path) -> Figures:
    """A search among a million clips."""
    from .search import measure_search

    return measure_search(work)


PARTS: Parts = {
    "demo": measure_demo,
    "listen": measure_listening,
    "driver": measure_driver,
    "chaos": measure_chaos,
    "facts": measure_facts,
    "search": measure_searching,
}


def run_driver(source: Path) -> float:
    """The line up to decisions in this process; returns its peak memory in MB."""
    from ...curate import stations
    from ...curate.config import Config
    from ...pipeline.stage import Call

    data = Dataset(source.parent / f"{source.name}-data")
    config = (
        Config()
        .override("ingest", {"window_s": 0.2})
        .override("score", {"only": ("signal",)})
        .override("filter", {"need_caption": False})
        .override("run", {"workers": 1})
    )
    call = Call(quiet=True)
    with data.lock():
        stations.ingest(data, source, config, call)
        stations.score(data, config, call)
        stations.filter_clips(data, config, call)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _many_clips(folder: Path, clips: int, per_file: int = 100, rate_hz: int = 8000) -> Path:
    """Files of noise that make so many clips of 0.2 s, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(clips // per_file):
        noise = rng.normal(0, 0.1, int(per_file * 0.2 * rate_hz)).astype(np.float32)
        sf.write(folder / f"{number:05}.wav", noise, rate_hz)
    return folder


def _qamdt(*words: object) -> None:
    subprocess.run([*CURATE, *map(str, words)], check=True)


def _cores() -> int:
    return os.cpu_count() or 1


def _count(data: Path) -> int:
    with connect(data) as con:
        (n,) = one_row(con, "SELECT count(*) FROM clips")
    return int(n)


def main(
    out: Out = Path("figures/line.json"),
    only: Only = "",
    driver: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    if driver:
        print(run_driver(driver))
        return
    measure_parts(PARTS, only, out)


if __name__ == "__main__":
    typer.run(main)
