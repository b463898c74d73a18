"""How a command is called this once: what `--limit`, `--dry-run` and their like ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """How a station is called this once. Nothing here changes a row.

    limit: at most so many files (ingest) or clips. dry_run: log what would be done, do nothing.
    retry_errors: forget error rows first. quiet: no progress bar. log: takes the lines that are
    printed.
    """

    limit: int | None = None
    dry_run: bool = False
    retry_errors: bool = False
    quiet: bool = False
    log: Log = print
