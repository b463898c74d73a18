"""What the commands of the recipes share: the cache, their arguments, work in several processes."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ...models.fetch.registry import DEFAULT_CACHE
from ...pipeline.progress import Progress

T = TypeVar("T")


def default_cache() -> Path:
    """The folder that recipes keep music, labels and features in."""
    return Path(DEFAULT_CACHE).expanduser()


def recipe_parser(
    doc: str | None, *, workers: str = "", seed: int | None = None, out: Path | None = None
) -> argparse.ArgumentParser:
    """Arguments of a recipe: `--cache`, and those of `--workers --seed --out` that are asked for.

    doc: the module's caption, whose first line is the description. workers: what so many processes
    do. seed, out: the defaults.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="music, labels, features"
    )
    if workers:
        parser.add_argument("--workers", type=int, default=2, help=workers)
    if seed is not None:
        parser.add_argument("--seed", type=int, default=seed)
    if out is not None:
        parser.add_argument("--out", type=Path, default=out, help="write the weights here")
    return parser


def in_processes(
    name: str, function: Callable[[T], object], todo: Sequence[T], workers: int
) -> None:
    """Call `function` on each of `todo` in new processes, with a progress bar of this name.

    One worker is this process.
    """
    with Progress(name, len(todo), quiet=not todo) as bar:
        if workers == 1:
            for one in todo:
                function(one)
                bar.advance(1)
        elif todo:
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                for _ in pool.imap_unordered(function, todo):
                    bar.advance(1)
