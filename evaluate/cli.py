"""The command line `qamdt-evaluate`: numbers for generated music that can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..schemas.call import Call
from ..schemas.commands import closing
from ..schemas.errors import ConfigError
from ..schemas.flags import STRICT_EXIT
from .cli_app import CALL, Folder, Set, app, with_config
from .config import Config

__all__ = ["app", "main"]


@app.register(log="out")
@with_config("metrics", "models", "run", call=CALL)
def run(
    generated: Set,
    out: Annotated[Path, typer.Option(help="folder for the results")],
    config: Config,
    call: Call,
    strict: bool,
    reference: Annotated[
        Path | None, typer.Option(help="set of clips, or statistics in .npz")
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="prompt file: MusicCaps, Song Describer, or id and caption")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="name in tables; default: the folder's")
    ] = None,
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
    opens = [(out / "report.html", "the report, with clips to listen to")] if report else []
    closing(
        [
            *opens,
            (out / "results.json", "the numbers"),
            (out / "clips.jsonl", "the numbers of clips"),
        ],
        [
            ["qamdt-evaluate", "table", out],
            ["qamdt-evaluate", "compare", "OTHER", out],
        ],
    )
    if strict and results.faulty:
        raise typer.Exit(STRICT_EXIT)


@app.register()
def compare(
    a: Folder,
    b: Folder,
    json_: Annotated[Path | None, typer.Option("--json", help="also write JSON")] = None,
) -> None:
    """Test system B against system A on the clips that both have, Holm's correction over metrics."""
    import json
    from dataclasses import asdict

    from .run.results import read_results
    from .show import compare as module
    from .show.terminal import show_comparisons

    one, other = read_results(a), read_results(b)
    comparisons = module.compare(one, other)
    show_comparisons(one.system, other.system, comparisons)
    if json_:
        rows = [asdict(c) for c in comparisons]
        json_.write_text(json.dumps({"a": one.system, "b": other.system, "tests": rows}, indent=1))


@app.register()
@with_config("models", "metrics", "run", call=CALL)
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


@app.register()
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


@app.register()
def prompts(
    file: Annotated[
        Path, typer.Argument(help="MusicCaps or Song Describer CSV, or id and caption")
    ],
    out: Annotated[Path, typer.Option(help="JSON lines of id, caption, reference_id")],
) -> None:
    """Read a prompt file and write it in one layout, for generation and for --captions."""
    import json

    from ..pipeline.dataset import write_atomically
    from .data.prompts import read_prompts

    parsed = read_prompts(file)
    rows = ({"id": p.id, "caption": p.caption, "reference_id": p.reference} for p in parsed.prompts)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(out, text.encode("utf-8"))
    typer.echo(f"{out}: {len(parsed.prompts)} prompts ({parsed.kind})")


@app.register()
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
    app.run()


if __name__ == "__main__":
    main()
