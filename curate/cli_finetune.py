"""`qamdt-curate models train-pmos`: flags from FinetuneConfig, progress, the table at the end."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..models.finetune.config import FinetuneConfig
from ..models.ref import pick_device
from ..pipeline.progress import Progress


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(..., config)` one flag per field of FinetuneConfig instead of `config`."""
    given_by_hand = inspect.signature(command, eval_str=True).parameters.values()
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in given_by_hand if p.name != "config"]
    hints = typing.get_type_hints(FinetuneConfig)
    fields = dataclasses.fields(FinetuneConfig)
    flags = [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=_flag(f, hints)
        )
        for f in fields
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        config = FinetuneConfig(**{f.name: given.pop(f.name) for f in fields})
        command(**given, config=config)

    run.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    return run


def _flag(field: dataclasses.Field[Any], hints: Mapping[str, Any]) -> Any:
    flag, hint = f"--{field.name.replace('_', '-')}", hints[field.name]
    choices = field.metadata["choices"]
    doc = field.metadata["doc"] + (f" ({', '.join(choices)})" if choices else "")
    both = bool in typing.get_args(hint)
    names = f"{flag}/--no-{flag[2:]}" if both else flag
    return Annotated[hint, typer.Option(names, help=doc)]


@with_settings
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
    config: FinetuneConfig,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads on the CPU")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget what OUT holds of a run")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress bar")] = False,
) -> None:
    """Fine-tune a p-MOS scorer of your own on sounds that listeners have rated.

    Several rows of one sound are votes and are averaged. Without a column `split`, groups (album,
    artist or source; else files) are shared out 80/10/10. Stopped at any moment, the same command
    goes on. Use the result with `--pmos wav2vec2@OUT`, whichever of the three kinds it is.
    """
    import torch

    from ..models.finetune.run import finetune

    torch.set_num_threads(threads)
    record = finetune(
        labels, init, out, config, pick_device(device), fresh, typer.echo,
        lambda name, total: Progress(name, total, quiet),
    )  # fmt: skip
    print_record(Console(), record)
    typer.echo(f"scorer: wav2vec2@{out}")


def print_record(console: Console, record: Mapping[str, Any]) -> None:
    """The figures of a scorer, and what the labels are where it says so."""
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
