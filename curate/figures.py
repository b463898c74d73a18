"""Measure the line and write figures/line.json: one figure a name, with the command that prints it.

python -m qamdt.curate.figures --out figures/line.json [--only demo,listen,driver,chaos]

demo_s, demo_*_auc, demo_*_recall   the demo set, made and curated, compared with its truth
listen_x_realtime                   seconds of real music heard per second of the score station
driver_mb_1k, driver_mb_20k         peak memory of the driver at 1,000 and 20,000 clips
chaos_rounds, chaos_lost, chaos_doubled   kills at random moments
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile as sf
import typer

from ..schemas.store import Dataset
from ..schemas.views import connect, one_row

Figures = dict[str, dict[str, Any]]
CURATE = [sys.executable, "-m", "qamdt.curate.cli"]


def figure(value: float, n: int, unit: str, command: str) -> dict[str, Any]:
    """A figure without an interval; machine facts stand once in the file."""
    return {
        "value": round(value, 4), "low": None, "high": None, "n": n, "unit": unit, "command": command,
    }  # fmt: skip


def measure_demo(work: Path) -> Figures:
    """Make and curate the demo set, then hold it against its truth."""
    from .bench import bench

    start = time.monotonic()
    _qamdt("demo", work / "music")
    _qamdt("run", work / "music" / "manifest.jsonl", work / "data", "--workers", _cores())
    seconds = time.monotonic() - start
    figures = bench(work / "data", work / "music" / "truth.jsonl")
    clips = _count(work / "data")
    return {"demo_s": figure(seconds, clips, "s, environment built", "make curate"), **figures}


def measure_listening(work: Path) -> Figures:
    """The score station over real music, models loaded included."""
    from ..models.registry import DEFAULT_CACHE
    from .real_music import link_tracks

    tracks, seconds = link_tracks(work / "music", Path(DEFAULT_CACHE).expanduser())
    data = work / "data"
    _qamdt("ingest", work / "music", data)
    _qamdt("score", data, "--workers", _cores())
    station = [json.loads(line) for line in (data / "runs.jsonl").read_text().splitlines()][-1]
    with connect(data) as con:
        (heard,) = one_row(con, "SELECT sum(duration_s) FROM clips WHERE skip IS NULL")
    unit = f"x real time, {_cores()} workers, models loaded included"
    return {
        "listen_x_realtime": figure(heard / station["seconds"], tracks, unit, "make figures-line"),
        "real_minutes": figure(seconds / 60, tracks, "minutes of music", "make real-music"),
    }


def measure_driver(work: Path) -> Figures:
    """Peak memory of the driver process, ingest to decisions, one Ray worker that only measures."""
    figures = {}
    for name, clips in (("driver_mb_1k", 1_000), ("driver_mb_20k", 20_000)):
        source = _many_clips(work / f"music{clips}", clips)
        command = [sys.executable, "-m", "qamdt.curate.figures", "--driver", str(source)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak = float(said.strip().splitlines()[-1])
        figures[name] = figure(peak, clips, "MB, peak of the driver process", "make figures-line")
    return figures


def measure_chaos(work: Path) -> Figures:
    """Twenty kills, every second one on Ray."""
    from .chaos import chaos

    total = chaos(20, 0, work, "--llm", "none", files=3)
    return {
        f"chaos_{name}": figure(total[name], total["rounds"], unit, "make chaos")
        for name, unit in (("rounds", "kills"), ("lost", "rows"), ("doubled", "rows"))
    }


PARTS: dict[str, Callable[[Path], Figures]] = {
    "demo": measure_demo,
    "listen": measure_listening,
    "driver": measure_driver,
    "chaos": measure_chaos,
}


def run_driver(source: Path) -> float:
    """The line up to decisions in this process; returns its peak memory in MB."""
    from . import stations
    from .config import Config
    from .stations import Call

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


def _machine() -> dict[str, Any]:
    """What the figures were measured on, without naming the machine."""
    return {
        "cores": _cores(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def main(
    out: Annotated[Path, typer.Option(help="JSON file of figures")] = Path("figures/line.json"),
    only: Annotated[str, typer.Option(help="parts, separated by commas")] = ",".join(PARTS),
    driver: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    if driver:
        print(run_driver(driver))
        return
    content = json.loads(out.read_text()) if out.exists() else {"figures": {}}
    for part in only.split(","):
        work = Path(tempfile.mkdtemp(prefix=f"qamdt-{part}-"))
        try:
            measured = PARTS[part](work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        content["figures"] |= measured
        content["machine"] = _machine()
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        for name, f in measured.items():
            print(f"{name:28} {f['value']} {f['unit']}")


if __name__ == "__main__":
    typer.run(main)
