"""The command line `qamdt-curate`: from a folder of music to curated, queryable shards.

Here are the stations; cli_ask.py asks a dataset folder, cli_models.py knows the models, cli_demo.py
makes the demo set. Importing them loads no model, no Arrow, no DuckDB: that is for the commands.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..schemas.call import Call
from ..schemas.flags import STRICT_EXIT
from ..schemas.run_log import log_started
from . import cli_ask, cli_demo, cli_models
from .cli_app import STATION, Folder, Source, app, with_config
from .config import Config

if TYPE_CHECKING:
    from ..pipeline.dataset import Dataset

__all__ = ["app", "main"]


@app.register(log="folder")
@with_config(
    "models", "ingest", "score", "quantize", "caption", "refine", "filter", "export", "run",
    call=STATION,
)  # fmt: skip
def run(source: Source, folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """The whole line: ingest, score, quantize, caption, refine, filter, export, report."""
    from ..pipeline.dataset import Dataset
    from . import stations
    from .report.terminal_status import print_next, print_status

    dataset = Dataset(folder)
    with dataset.lock():
        log_started()
        stations.run_all(dataset, source, config, call)
    if not call.dry_run:
        print_status(dataset)
        print_next(dataset)
        _end(dataset, strict)


@app.register(log="folder")
@with_config("ingest", "run", call=STATION)
def ingest(source: Source, folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Find files, cut them into clips, take their captions."""
    from ..pipeline.dataset import Dataset
    from . import stations

    dataset = Dataset(folder)
    with dataset.lock():
        log_started()
        stations.ingest(dataset, source, config, call)
    _end(dataset, strict)


@app.register(log="folder")
@with_config("score", "models", "run", call=STATION)
def score(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Extract the features of every clip: p-MOS, signal, embedding, tags, tempo and key."""
    _stations(folder, config, call, strict, "score")


@app.register(log="folder")
@with_config("quantize", call=STATION)
def quantize(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Turn p-MOS into quality levels 1..5 and text prefixes."""
    _stations(folder, config, call, strict, "quantize")


@app.register(log="folder")
@with_config("caption", "models", "run", call=STATION)
def caption(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Generate captions: facts from tags and features, then the captioner's text."""
    _stations(folder, config, call, strict, "caption")


@app.register(log="folder")
@with_config("caption", "refine", "models", "run", call=STATION)
def refine(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Repair captions: generate what is not there, CLAP check, LLM merge, guards, selection."""
    _stations(folder, config, call, strict, "caption", "refine")


@app.register("filter", log="folder")
@with_config("filter", call=STATION)
def filter_(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Decide what is kept, listing every reason against a clip. Runs no model."""
    _stations(folder, config, call, strict, "filter_clips")


@app.register(log="folder")
@with_config("export", "run", call=STATION)
def export(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Write the kept clips as Parquet shards with audio, and a dataset card."""
    _stations(folder, config, call, strict, "export")


def _stations(folder: Path, config: Config, call: Call, strict: bool, *names: str) -> None:
    """Run stations, functions of stations.py, one after the other."""
    from ..pipeline.dataset import Dataset
    from . import stations

    dataset = Dataset(folder)
    with dataset.lock():
        log_started()
        for name in names:
            getattr(stations, name)(dataset, config, call)
    _end(dataset, strict)


def _end(dataset: Dataset, strict: bool) -> None:
    """With --strict, exit 3 when there are error rows."""
    if not strict or not dataset.tables():
        return
    from .report.funnel import funnel

    if errors := funnel(dataset).errors:
        typer.secho(f"{errors} error rows (--strict)", fg="red", err=True)
        sys.exit(STRICT_EXIT)


cli_ask.add_to(app)
cli_demo.add_to(app)
cli_models.add_to(app)


def main(**_: Any) -> None:
    """Entry point of `qamdt-curate`."""
    app.run()


if __name__ == "__main__":
    main()
