"""The command line `qamdt-evaluate`: numbers for generated music that can be believed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..schemas import flags
from ..schemas.errors import ConfigError
from .cli_options import STRICT_EXIT, with_config
from .config import Config
from .run.inputs_and_features import Call

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Evaluate generated music: FAD, KAD, KL, IS, CLAP score, p-MOS, each with its protocol "
    "and its interval.\n\nA set is a folder of audio, Parquet shards, a manifest or a .txt of "
    "paths; clips are paired by id, never by order.",
)

Set = Annotated[Path, typer.Argument(help="folder of audio, shards, manifest, or .txt of paths")]
Folder = Annotated[Path, typer.Argument(help="--out folder of `run`")]


@app.command()
@with_config("metrics", "models", "run")
def run(
    generated: Set,
    out: Annotated[Path, typer.Option(help="folder for the results")],
    config: Config,
    call: Call,
    reference: Annotated[
        Path | None, typer.Option(help="set of clips, or statistics in .npz")
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="prompt file: MusicCaps, Song Describer, or id and caption")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="name in tables; default: the folder's")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit 3 when anything is missing or unreadable")
    ] = False,
    report: Annotated[bool, typer.Option(help="write report.html too")] = True,
) -> None:
    """Evaluate a set: results.json, clips.jsonl and report.html in OUT."""
    from .run.evaluator import evaluate
    from .run.results import write_results
    from .show.report import write_report
    from .show.terminal import show_results

    results = evaluate(generated, reference, captions, config, call, system)
    write_results(out, results)
    if report:
        write_report(out, results)
    show_results(results, out)
    if strict and results.faulty:
        raise typer.Exit(STRICT_EXIT)


@app.command()
def compare(
    a: Folder,
    b: Folder,
    json_: Annotated[Path | None, typer.Option("--json", help="also write JSON")] = None,
) -> None:
    """Test system B against system A on the clips that both have, Holm's correction over metrics."""
    from .run.results import read_results
    from .show import compare as module
    from .show.terminal import show_comparisons

    one, other = read_results(a), read_results(b)
    comparisons = module.compare(one, other)
    show_comparisons(one.system, other.system, comparisons)
    if json_:
        rows = [asdict(c) for c in comparisons]
        json_.write_text(json.dumps({"a": one.system, "b": other.system, "tests": rows}, indent=1))


@app.command()
@with_config("models", "metrics", "run")
def stats(
    source: Annotated[
        list[Path], typer.Argument(help="a set; or with --merge, .npz files of ours")
    ],
    out: Annotated[Path, typer.Option(help="the .npz to write")],
    config: Config,
    call: Call,
    merge: Annotated[bool, typer.Option("--merge", help="merge files of statistics")] = False,
    rows: Annotated[
        bool, typer.Option(help="keep the rows: KAD and two-sided intervals need them")
    ] = True,
) -> None:
    """Write a reference set's statistics to one file, or merge those of its parts."""
    from .metrics.reference_stats import merge_stats, read_stats, write_stats
    from .run.reference import reference_stats

    if merge:
        statistics = merge_stats([read_stats(path) for path in source])
    elif len(source) != 1:
        raise ConfigError(f"{len(source)} sources: give one set, or .npz files with --merge")
    else:
        statistics = reference_stats(source[0], config, call)
    write_stats(out, statistics if rows else statistics.without_rows())
    gaussian, clips = statistics.gaussian, len(statistics.contents)
    shape = f"{gaussian.n} rows of {gaussian.dim} dimensions"
    typer.echo(f"{out}: {clips} clips, {shape}, rank {gaussian.rank}")


@app.command()
def table(
    results: Annotated[list[Path] | None, typer.Argument(help="--out folders of `run`")] = None,
    published: Annotated[
        str | None, typer.Option(help="published rows of a test set: musiccaps, song-describer")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="your own published.toml")] = None,
    format_: Annotated[str, typer.Option("--format", help="markdown, latex or html")] = "markdown",
    mix: Annotated[
        bool, typer.Option("--mix", help="print different protocols beside each other")
    ] = False,
) -> None:
    """Print results as one table; different protocols are refused without --mix."""
    from .run.results import read_results
    from .show.table import FORMATS, PUBLISHED, build_table

    if format_ not in FORMATS:
        raise ConfigError(f"--format {format_}: expected one of {', '.join(FORMATS)}")
    if not results and published is None:
        raise ConfigError("nothing to print: give folders of results, or --published SET")
    rows = [read_results(path) for path in results or []]
    typer.echo(FORMATS[format_](build_table(rows, published, file or PUBLISHED, mix)), nl=False)


@app.command()
def prompts(
    file: Annotated[
        Path, typer.Argument(help="MusicCaps or Song Describer CSV, or id and caption")
    ],
    out: Annotated[Path, typer.Option(help="JSON lines of id, caption, reference_id")],
) -> None:
    """Read a prompt file and write it in one layout, for generation and for --captions."""
    from ..pipeline.dataset import write_atomically
    from .data.prompts import read_prompts

    parsed = read_prompts(file)
    rows = ({"id": p.id, "caption": p.caption, "reference_id": p.reference} for p in parsed.prompts)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(out, text.encode("utf-8"))
    typer.echo(f"{out}: {len(parsed.prompts)} prompts ({parsed.kind})")


@app.command()
def convert(
    kind: Annotated[str, typer.Argument(help="vggish or panns")],
    source: Annotated[Path, typer.Argument(help="the authors' checkpoint (.pth)")],
    out: Annotated[Path, typer.Argument(help="the safetensors file to write")],
    rate_hz: Annotated[int, typer.Option(help="of a PANNs checkpoint: 8000, 16000, 32000")] = 32000,
) -> None:
    """Convert a checkpoint of VGGish (torchvggish) or PANNs (Cnn14) to the layout that is read."""
    from .features.convert import convert_checkpoint

    typer.echo(f"{out}: {convert_checkpoint(kind, source, out, rate_hz)} tensors")


def main() -> None:
    """The entry point."""
    flags.speak(app, "stopped; the same command goes on where this one ended")


if __name__ == "__main__":
    main()
