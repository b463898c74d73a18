"""The metrics of a run: lines of JSON, TensorBoard, and Weights & Biases where it is configured.

    RUN/log.jsonl       {"step": 50, "loss": 0.91, ...}, a line a log
    RUN/tensorboard/    the same as curves, and demos as images

A run that is resumed from step n first takes out what an ended run logged of later steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError
from ..config import WatchConfig

LOG = "log.jsonl"


class MetricsLog:
    """Writes nothing where `active` is false (all processes but the main one)."""

    def __init__(
        self, run: Path, watch: WatchConfig, step: int, settings: Mapping[str, Any], active: bool
    ) -> None:
        self._path, self._active = run / LOG, active
        self._board: Any = None
        self._wandb: Any = None
        if not active:
            return
        drop_after(self._path, step)
        if watch.tensorboard:
            self._board = _tensorboard(run / "tensorboard", step)
        if watch.wandb:
            self._wandb = _wandb(run, watch.wandb, settings)

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of one step, by names like `loss` or `validation/t500`."""
        if not self._active:
            return
        with open(self._path, "a") as file:
            file.write(json.dumps({"step": step, "time": round(time.time(), 3), **numbers}) + "\n")
        if self._board is not None:
            for name, number in numbers.items():
                self._board.add_scalar(name, number, step)
        if self._wandb is not None:
            self._wandb.log(dict(numbers), step=step)

    def image(self, step: int, name: str, picture: torch.Tensor) -> None:
        """A picture [H, W] of any range, shown from its smallest number to its largest."""
        if self._board is not None:
            low, high = float(picture.min()), float(picture.max())
            shown = (picture - low) / max(high - low, 1e-12)
            self._board.add_image(name, shown, step, dataformats="HW")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def drop_after(path: Path, step: int) -> None:
    """Take lines of later steps out of a log, and a last line that was cut off."""
    if not path.exists():
        return
    kept = [line for line in read_log(path) if line["step"] <= step]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that a killed process cut off is left out."""
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as e:
        raise ConfigError(
            "tensorboard is not installed: pip install 'qamdt[train]', or give --no-tensorboard"
        ) from e
    return SummaryWriter(str(folder), purge_step=step + 1)


def _wandb(run: Path, project: str, settings: Mapping[str, Any]) -> Any:
    try:
        import wandb
    except ImportError as e:
        raise ConfigError(f"--wandb {project}: wandb is missing: pip install wandb") from e
    return wandb.init(
        project=project, id=run.resolve().name, name=run.name, resume="allow", dir=str(run),
        config=dict(settings),
    )  # fmt: skip
