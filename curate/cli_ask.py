"""Commands of `qamdt-curate` that read a dataset folder: report, status, sql, search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..schemas.call import Call
from ..schemas.commands import CommandLine
from ..schemas.errors import ConfigError
from .cli_app import Folder, with_config
from .config import Config


def add_to(app: CommandLine) -> None:
    """Register the commands."""
    app.register(log="folder")(report)
    for command in (status, sql, search):
        app.register()(command)


@with_config()
def report(folder: Folder, config: Config, call: Call) -> None:
    """Write report.html (one file, playable) and report.json into DIR."""
    from ..pipeline.dataset import Dataset
    from . import stations

    stations.report(Dataset(folder), config, call)


@with_config()
def status(
    folder: Folder,
    json_: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False,
) -> None:
    """Show the funnel, the state of every table, and where things lie."""
    import json

    from ..pipeline.dataset import Dataset
    from .report.status import status_of
    from .report.terminal_status import print_status, print_tables

    dataset = Dataset(folder)
    if json_:
        typer.echo(json.dumps(status_of(dataset), indent=1, ensure_ascii=False))
        return
    print_status(dataset)
    print_tables(status_of(dataset))


@with_config()
def sql(
    folder: Folder,
    query: Annotated[str, typer.Argument(help="one SELECT over the views, e.g. clips_full")],
    csv: Annotated[
        Path | None, typer.Option(help="write CSV to this file (- for the screen)")
    ] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="write JSON lines (- for the screen)")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="write Parquet to this file")] = None,
    rows: Annotated[int, typer.Option(help="rows shown on the screen")] = 50,
) -> None:
    """Ask the dataset a question in SQL (DuckDB). Reads only.

    Views: files, clips, duplicates, pmos, signal, clap, tags, music, bounds, levels, facts,
    generated, texts, matches, checks, answers, captions, decisions, and clips_full, the join.
    `SHOW TABLES` is `SELECT * FROM duckdb_views()`.
    """
    from ..pipeline.views import query as query_dataset
    from .report.query_files import write_csv, write_json, write_parquet
    from .report.terminal import print_rows

    answer = query_dataset(folder, query)
    if csv:
        write_csv(answer, csv)
    if json_:
        write_json(answer, json_)
    if parquet:
        write_parquet(answer, parquet)
    if not (csv or json_ or parquet):
        print_rows(answer, rows)


@with_config("models")
def search(
    folder: Folder,
    config: Config,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="what it should sound like")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="ask by a sound: an audio file")] = None,
    start: Annotated[float, typer.Option(min=0, help="where in the file, in seconds")] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(help="how much of it; default: to its end, at most 60")
    ] = None,
    like: Annotated[str | None, typer.Option(help="ask by a clip of DIR: its clip_id")] = None,
    most: Annotated[int, typer.Option("-n", "--most", min=1, help="clips shown")] = 10,
    where: Annotated[
        str | None, typer.Option(help="SQL condition on clips_full, e.g. 'pmos > 3.5'")
    ] = None,
    kept_only: Annotated[bool, typer.Option("--kept-only", help="only what was kept")] = False,
    per_file: Annotated[
        int | None, typer.Option(min=1, help="at most so many clips of one file")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="one JSON object a clip")] = False,
) -> None:
    """Find the clips nearest to a text, a sound (--audio) or another clip (--like).

    By the stored embeddings, with the model (--match) that `score` was run with: no audio of DIR is
    read. Exact, the whole set each time.
    """
    from ..pipeline.dataset import Dataset
    from .report.terminal_search import print_hits, print_json
    from .search import embed_sound, embed_text, embedding_of
    from .search import search as nearest

    if sum(given is not None for given in (text, audio, like)) != 1:
        raise ConfigError("give one thing to ask by: a TEXT, --audio FILE or --like CLIP_ID")
    dataset = Dataset(folder)
    if text is not None:
        query = embed_text(dataset, text, config.models)
    elif audio is not None:
        query = embed_sound(dataset, audio, config.models, start, seconds)
    else:
        query = embedding_of(dataset, str(like))
    results = nearest(dataset, query, most, where, kept_only, per_file)
    (print_json if json_ else print_hits)(results)
