"""The app `qamdt-train`, and what its commands' flags are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..schemas.commands import CommandLine
from ..schemas.flags import Flags
from .audio_config import AudioConfig
from .audio_config import from_toml as audio_from_toml
from .config import Config, from_toml
from .network.config import SIZES

app = CommandLine(
    "Train a quality-aware masked diffusion transformer (QA-MDT) on a curated dataset folder.\n\n"
    "A run folder RUN holds all of a training; it can be stopped at any time and run again.",
    stopped="stopped at once; the same command goes on from the last checkpoint",
)
with_config = Flags(
    Config,
    from_toml,
    panels={
        "objective": "Diffusion", "optim": "Optimiser", "fit": "Running",
        "watch": "Log, demos, checkpoints", "sample": "Sampling",
    },
    extra={"model": {"size": f"widths and depths by name ({', '.join(SIZES)}); default: s"}},
)  # fmt: skip
with_sound_config = Flags(
    AudioConfig,
    audio_from_toml,
    panels={"make": "Generation", "sample": "Sampling", "run": "Running"},
)

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="run folder, checkpoint folder or .safetensors")
]
