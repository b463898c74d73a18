"""How far a job is: a bar with rate and time left on a terminal or in a notebook; else, as in a log
file, a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

LOG_EVERY_S = 15.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="cyan")


def bar(console: Console) -> Bar:
    """A bar with count, rate, time passed and time left; not started. Lines printed pass above it."""
    return Bar(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=60,
    )


def shows_bars(console: Console) -> bool:
    """Whether a bar can be drawn: on a terminal or in a notebook."""
    return sys.stderr.isatty() or console.is_jupyter


class Progress:
    """Shows how far a job is, on standard error. Use as a context manager."""

    def __init__(self, name: str, total: int, quiet: bool = False) -> None:
        self._name, self._total, self._quiet = name, total, quiet
        self._done = 0
        self._began = self._logged = time.monotonic()
        self._bar: Bar | None = None
        console = Console(stderr=True)
        if shows_bars(console) and not quiet:
            self._bar = bar(console)
            self._task = self._bar.add_task(name, total=total)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, n: int) -> None:
        self._done += n
        if self._bar:
            self._bar.advance(self._task, n)
        elif not self._quiet and time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            rate = self._done / max(self._logged - self._began, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            print(
                f"{self._name}: {self._done}/{self._total}, {rate:.1f}/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
