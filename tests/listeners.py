"""Small listeners for tests of the runner: real measurements, and one that misbehaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qamdt.audio.sound import Sound
from qamdt.pipeline.audio_pass import Answer, Listener, ListenJob
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import output
from qamdt.schemas.errors import WeightsMissing
from qamdt.schemas.tables import Music, Pmos


class Rms:
    """A score that is 1 + the RMS of the clip; refuses batches that hold a clip named in `bad`."""

    writes = Pmos
    version = 1
    model_id = "rms"
    weights = "0"

    def __init__(self, bad: str = "", seen: Path | None = None) -> None:
        self.bad, self.seen = bad, seen

    def open(self) -> None:
        """Nothing to load."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        if self.bad and any(self.bad in s.name for s in sounds):
            raise ValueError("cannot hear this")
        if self.seen:
            with open(self.seen, "a") as f:
                f.writelines(f"{s.name}\n" for s in sounds)
        return [{"pmos": 1 + float(np.sqrt(np.mean(np.square(s.samples))))} for s in sounds]


class Unopenable(Rms):
    """Its weights are not there."""

    def open(self) -> None:
        raise WeightsMissing("not here; fetch it")


class Deadly:
    """Ends its own process, as a decoder's segmentation fault would, on one file."""

    writes = Music
    version = 1
    model_id = ""
    weights = ""

    def __init__(self, poison: str) -> None:
        self.poison = poison

    def open(self) -> None:
        """Nothing to load."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        if any(self.poison in s.name for s in sounds):
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"tempo_bpm": s.duration_s} for s in sounds]


def job_of(dataset: Dataset, *listeners: Listener, limit: int | None = None) -> ListenJob:
    """A listening pass of these listeners."""
    outputs = tuple(
        output(dataset, x.writes, x.version, {}, ["clips"], x.model_id, x.weights)
        for x in listeners
    )
    return ListenJob(dataset, listeners, outputs, limit)
