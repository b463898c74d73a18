"""A run folder: held by one run at a time, its settings fixed at the first step.

RUN/config.toml     the settings; the same command goes on where the run ended
RUN/checkpoints/    see checkpoint.py
RUN/log.jsonl  RUN/tensorboard/  RUN/demos/
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError, DatasetBusy
from ...schemas.settings import to_toml
from ..config import Config, differences, from_plain
from .checkpoint import Checkpoint, latest


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the folder for one run. Raises DatasetBusy where another run holds it."""
    run.mkdir(parents=True, exist_ok=True)
    with open(run / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise DatasetBusy(f"{run} is in use by another run; wait or end it") from e
        yield


def where_it_ended(run: Path, config: Config, world: int, digest: str) -> Checkpoint | None:
    """The checkpoint to go on from; None for a new run.

    world: processes. digest: of what is trained on. Raises ConfigError where the checkpoint was made
    with other settings, data or processes, naming each difference.
    """
    found = latest(run)
    if found is None:
        return None
    state = found.state
    problems = differences(config_of(state["config"]), config)
    if state["world"] != world:
        problems.append(f"processes: {state['world']} -> {world}")
    if state["data"] != digest:
        problems.append(
            "the data set: its clips, levels, prompts, split or latents are not the same"
        )
    if problems:
        raise ConfigError(
            f"{run} is at step {found.step} of a run that differs: {'; '.join(problems)}. Give it the "
            "same settings, data and processes, or a new run folder"
        )
    return found


def write_config(run: Path, config: Config) -> None:
    """Write the settings beside the checkpoints, for people and for `--config`."""
    write_atomically(run / "config.toml", to_toml(config).encode())


def config_of(plain: dict[str, Any]) -> Config:
    """The configuration in a checkpoint's header; one of before `band_position` has none."""
    model = {"band_position": False, **plain.get("model", {})}
    return from_plain({**plain, "model": model}, source="the checkpoint's configuration")
