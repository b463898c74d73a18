"""Commands of `qamdt-curate` around the demo set: demo, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..schemas.commands import CommandLine, closing
from .cli_app import Folder


def add_to(app: CommandLine) -> None:
    """Register the commands."""
    for command in (demo, bench):
        app.register()(command)


def demo(
    into: Annotated[Path, typer.Argument(help="folder to make the demo set in")],
    seed: Annotated[int, typer.Option(help="what is planted, and where")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress bar")] = False,
) -> None:
    """Make the demo set: real compositions, rendered, with planted defects and a truth file."""
    from ..pipeline.progress import Progress
    from .demo.defects import plan
    from .demo.render_set import make_demo

    with Progress("demo", len(plan(seed)), quiet) as progress:
        manifest = make_demo(into, seed=seed, progress=lambda done, total: progress.advance(1))
    closing(
        [(manifest, "the demo set"), (manifest.parent / "truth.jsonl", "what is planted in it")],
        [["qamdt-curate", "run", manifest, into.parent / "dataset"]],
    )


def bench(
    folder: Folder,
    truth: Annotated[
        Path | None, typer.Option(help="truth.jsonl; default: beside the manifest ingested")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write the figures as JSON")] = None,
) -> None:
    """Compare the decisions with the demo's truth: AUCs and recalls, with 95% intervals."""
    import json

    from .demo.benchmark import bench as compare

    figures = compare(folder, truth)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=1) + "\n")
    for name, figure in figures.items():
        low, high = figure.get("low"), figure.get("high")
        between = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
        typer.echo(f"{name:28} {figure['value']:.3f}{between}  n {figure['n']}")
