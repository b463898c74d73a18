"""The app `qamdt-evaluate`, and what its commands' flags are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..schemas.commands import CommandLine
from ..schemas.flags import Flags
from .config import Config, from_toml

app = CommandLine(
    "Evaluate generated music: FAD, KAD, KL, IS, CLAP score, p-MOS, each with its protocol "
    "and its interval.\n\nA set is a folder of audio, Parquet shards, a manifest or a .txt of "
    "paths; clips are paired by id, never by order.",
    stopped="stopped; the same command goes on where this one ended",
)


def _check(config: Config, sections: Sequence[str]) -> None:
    from .run.check import check_models

    if "metrics" in sections:
        check_models(config)


with_config = Flags(Config, from_toml, panels={"run": "Running"}, check=_check)
CALL = ("limit", "retry_errors")

Set = Annotated[Path, typer.Argument(help="folder of audio, shards, manifest, or .txt of paths")]
Folder = Annotated[Path, typer.Argument(help="--out folder of `run`")]
