"""Kill -9 at random moments, run again, compare: nothing lost, nothing doubled.

    python -m qamdt.benchmarks.curation.chaos --rounds 20

Each round starts the whole line on a folder of small pieces, kills the whole process group at a
moment drawn over the time of an uninterrupted run, starts it again to the end, and compares every
row of every table with the uninterrupted run. Rounds alternate between this process and Ray.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile as sf
import typer

from ...pipeline.dataset import Dataset
from .compare_datasets import compare

RUN = [sys.executable, "-m", "qamdt.curate.cli", "run"]
FLAGS = ["--quiet", "--window-s", "2", "--threads", "1"]


def make_music(folder: Path, files: int = 6, seconds: float = 9.0, rate_hz: int = 22050) -> Path:
    """Small pieces of chords and noise, each with a caption beside it, and one broken file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    for i in range(files):
        chord = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 900, 3)) / 6
        beat = rng.normal(0, 0.2, t.size) * np.exp(-20 * ((t * (1 + i / 3)) % 1))
        sf.write(folder / f"piece{i}.flac", (chord + beat).astype(np.float32), rate_hz)
        (folder / f"piece{i}.txt").write_text(f"a piece with {i + 2} chords and a beat")
    (folder / "broken.wav").write_bytes(b"RIFF but not much more")
    return folder


def run_line(
    source: Path, into: Path, workers: int, kill_after_s: float | None, *more: str
) -> float:
    """The whole line in a process of its own; killed after a while, or waited for.

    Returns the seconds it took. Raises RuntimeError when a run that was not killed fails.
    """
    command = [*RUN, str(source), str(into), "--workers", str(workers), *FLAGS, *more]
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return time.monotonic() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output.decode(errors='replace')}")
    return time.monotonic() - start


def chaos(
    rounds: int,
    seed: int,
    work: Path,
    *more: str,
    files: int = 6,
    ways: Sequence[int] = (0, 2),
    source: Path | None = None,
) -> dict[str, int]:
    """Rounds of kill and resume; rows lost and doubled over all of them.

    ways: numbers of workers, taken in turn. more: flags of `qamdt-curate run`. source: the music;
    made here, of so many files, where none is given.
    """
    source = source or make_music(work / "music", files)
    took = {w: run_line(source, work / f"reference{w}", w, None, *more) for w in ways}
    reference = Dataset(work / f"reference{ways[0]}")
    rng = random.Random(seed)
    total = {"rounds": 0, "lost": 0, "doubled": 0}
    for number in range(rounds):
        workers = ways[number % len(ways)]
        moment = rng.uniform(0.5, took[workers])
        into = Dataset(work / f"round{number}")
        run_line(source, into.root, workers, moment, *more)
        run_line(source, into.root, workers, None, *more)
        difference = compare(reference, into)
        total["rounds"] += 1
        total["lost"] += sum(map(len, difference.lost.values()))
        total["lost"] += sum(map(len, difference.new.values()))
        total["doubled"] += sum(difference.doubled.values())
        what = f"{workers} workers, killed after {moment:.1f} s"
        print(f"round {number}: {what}: {difference}", flush=True)
    return total


def main(
    rounds: int = 20,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="write the figures here as JSON")] = None,
) -> None:
    """Kill, resume, compare."""
    with tempfile.TemporaryDirectory(prefix="qamdt-chaos-") as work:
        total = chaos(rounds, seed, Path(work))
    print(total)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(total) + "\n")
    if total["lost"] or total["doubled"]:
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
