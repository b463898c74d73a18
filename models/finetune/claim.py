"""Whose a folder is: one training's at a time, and never taken from anything else."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError, DatasetBusy
from ..pmos.wav2vec2 import PREPROCESSOR, RECORD, read_json

LOCK, WORK, BEGUN, ERRORS = ".lock", ".training", "run.json", "errors.csv"
WEIGHTS = "model.safetensors"
# What a finished folder holds, in the order of its making: without weights it is no scorer.
FILES = (RECORD, PREPROCESSOR, "README.md", "splits.csv", ERRORS, "config.json", WEIGHTS)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for one training. Raises DatasetBusy while another one does.

    The kernel frees it when the process ends, however it does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetBusy(f"{folder} is in use by another run; wait or end it") from error
        yield


def refuse_other_things(out: Path) -> None:
    """Raise ConfigError where `out` is neither new, nor empty, nor of an earlier run."""
    ours = {LOCK, WORK, ERRORS, "logs"}
    if not out.exists() or begun_in(out):
        return
    if not out.is_dir() or {p.name for p in out.iterdir()} - ours:
        raise ConfigError(f"{out} holds other things; give --out a new or empty folder")


def begun_in(out: Path) -> dict[str, Any]:
    """What the training in `out` is made from, unfinished or finished; empty where there is none."""
    finished: dict[str, Any] = read_json(out / RECORD).get("made_from", {})
    return read_json(out / WORK / BEGUN) or finished


def claim(out: Path, made_from: dict[str, Any], fresh: bool) -> bool:
    """Make `out` this run's; returns whether it is finished already. Raises ConfigError."""
    earlier = begun_in(out)
    if fresh:
        for name in FILES:
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / WORK, ignore_errors=True)
    elif earlier and earlier != made_from:
        other = [k for k in ("labels", "init", "recipe") if earlier.get(k) != made_from[k]]
        was = earlier.get("settings", {})
        now = made_from["settings"].items()
        other += [f"{k} (was {was.get(k)})" for k, v in now if was.get(k) != v]
        raise ConfigError(
            f"{out} holds a training that differs in {', '.join(other)}: give --fresh to begin "
            "again there, or another --out"
        )
    elif earlier and not (out / WORK / BEGUN).exists():
        return True
    write_atomically(out / WORK / BEGUN, json.dumps(made_from, indent=1).encode())
    return False
