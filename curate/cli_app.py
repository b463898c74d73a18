"""The app `qamdt-curate`, and what its commands' flags are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..schemas.commands import CommandLine
from ..schemas.flags import Flags
from .config import Config, check_models, from_toml

app = CommandLine(
    "Curate music for text-to-music training: score, level, repair captions, filter, export.\n\n"
    "A dataset folder DIR holds all of it. Every command can be stopped and run again.",
    stopped="stopped; the same command goes on where this one ended",
)
with_config = Flags(
    Config,
    from_toml,
    panels={"quantize": "Levels", "caption": "Captions", "refine": "Captions", "run": "Running"},
    check=check_models,
)
STATION = ("limit", "dry_run", "retry_errors")

Source = Annotated[
    Path, typer.Argument(help="folder of audio, or manifest (jsonl, csv, tsv, parquet)")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="dataset folder")]
