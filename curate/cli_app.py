"""The app `qamdt-curate`, and what its commands' flags are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..schemas.commands import CommandLine
from ..schemas.flags import Flags
from .config import Config, from_toml

app = CommandLine(
    "Curate music for text-to-music training: score, level, repair captions, filter, export.\n\n"
    "A dataset folder DIR holds all of it. Every command can be stopped and run again.",
    stopped="stopped; the same command goes on where this one ended",
)


def _check(config: Config, sections: Sequence[str]) -> None:
    from .roles import OF_LISTENER, check_models

    used = {
        "score": [
            r for name, r in OF_LISTENER.items() if name in (config.score.only or OF_LISTENER)
        ],
        "caption": ["tagger", "captioner"],
        "refine": ["match", "llm"],
    }
    of_command = [role for section in sections for role in used.get(section, ())]
    check_models(config.models, list(dict.fromkeys(of_command)))


with_config = Flags(
    Config,
    from_toml,
    panels={"quantize": "Levels", "caption": "Captions", "refine": "Captions", "run": "Running"},
    check=_check,
)
STATION = ("limit", "dry_run", "retry_errors")

Source = Annotated[
    Path, typer.Argument(help="folder of audio, or manifest (jsonl, csv, tsv, parquet)")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="dataset folder")]
