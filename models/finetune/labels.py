"""Labels of listeners: rows of a table become sounds with a mean opinion, or problems with reasons.

LABELS is csv, tsv, jsonl or parquet with the columns `path` (absolute, or from the table's folder)
and `mos` (1..5). Optional: `split` (train, dev, test), `group` (album, artist or source: kept on
one side of every split), `start_s` and `duration_s` (a stretch of the file). Several rows of one
stretch are votes: the label is their mean. Every row ends as `ok` or `error`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import ConfigError

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
EXPECTED = "expected the columns path and mos (1..5), and perhaps split, group, start_s, duration_s"
SPLITS = ("train", "dev", "test")
OTHER_NAMES = {"valid": "dev", "val": "dev", "validation": "dev", "eval": "test"}


@dataclass(frozen=True)
class Problem:
    """A row that cannot be used: its number in the table (the first is 1), whose, and why."""

    row: int
    path: str
    error_type: str
    error_message: str


@dataclass(frozen=True)
class Vote:
    """One usable row."""

    row: int
    path: str  # as the table has it
    file: Path
    mos: float
    split: str | None
    group: str | None
    start_s: float
    duration_s: float | None


@dataclass(frozen=True)
class Labelled:
    """A stretch of a file and what listeners said of it.

    mos: mean of `votes` opinions. spread: their standard deviation, NaN for a single one.
    group: the table's, or else the file: what splits never cut.
    """

    rows: tuple[int, ...]
    path: str
    file: Path
    start_s: float
    duration_s: float | None
    mos: float
    votes: int
    spread: float
    group: str
    split: str | None


class BadRow(ValueError):
    """A row that cannot be used; `kind` is its error type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_labels(table: Path) -> tuple[list[Labelled], list[Problem]]:
    """The labelled sounds in order of their first row, and the rows that cannot be used.

    Raises ConfigError where the table itself cannot be read.
    """
    if not table.is_file() or table.suffix.lower() not in KINDS:
        raise ConfigError(f"{table} is no file of labels ({', '.join(KINDS)}): {EXPECTED}")
    votes: list[Vote] = []
    problems: list[Problem] = []
    for number, row in _rows(table):
        try:
            votes.append(_vote(number, row, table.parent))
        except BadRow as error:
            path = row.get("path") if isinstance(row, dict) else None
            problems.append(Problem(number, str(path or ""), error.kind, str(error)))
    return _gather(votes, problems), problems


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(number, row) of every row, or the text of what is wrong with it."""
    kind = table.suffix.lower()
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            content = pq.read_table(table)
            _need_columns(table, content.column_names)
            yield from enumerate(content.to_pylist(), 1)
        elif kind == ".jsonl":
            yield from _json_lines(table)
        else:
            with open(table, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",", restkey="")
                _need_columns(table, reader.fieldnames or [])
                yield from enumerate(reader, 1)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are among these
        raise ConfigError(f"{table} cannot be read: {error}; {EXPECTED}") from error


def _json_lines(table: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with open(table, encoding="utf-8") as file:
        lines = (line for line in file if line.strip())
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                yield number, f"not JSON: {error}"
                continue
            yield number, row if isinstance(row, dict) else f"no JSON object: {line.strip()[:80]}"


def _need_columns(table: Path, names: Any) -> None:
    if missing := {"path", "mos"} - set(names):
        raise ConfigError(
            f"{table} has no column {' and no '.join(sorted(missing))}, but {list(names)}: {EXPECTED}"
        )


def _vote(number: int, row: dict[str, Any] | str, base: Path) -> Vote:
    """The row as numbers and a file that exists. Raises BadRow."""
    if isinstance(row, str):
        raise BadRow("BadRow", row)
    if row.get(""):
        raise BadRow("BadRow", f"more fields than the first line names: {row['']}")
    path = row.get("path")
    if not isinstance(path, str) or not path.strip():
        raise BadRow("NoPath", f"path = {path!r}: expected a file name")
    mos = _number(row, "mos")
    if mos is None or not 1 <= mos <= 5:
        raise BadRow("BadMos", f"mos = {row.get('mos')!r}: expected a number 1..5")
    start, duration = _number(row, "start_s"), _number(row, "duration_s")
    if (start or 0) < 0 or (duration is not None and duration < 1):
        raise BadRow(
            "BadStretch", f"start_s = {start}, duration_s = {duration}: expected 0 s, 1 s or more"
        )
    file = base / path
    if not _is_file(file):
        raise BadRow("MissingFile", f"{file} is not a file")
    split = _word(row, "split")
    split = OTHER_NAMES.get(split.lower(), split.lower()) if split else None
    if split is not None and split not in SPLITS:
        raise BadRow("BadSplit", f"split = {row['split']!r}: expected one of {', '.join(SPLITS)}")
    return Vote(
        number, path, file.resolve(), mos, split, _word(row, "group"), start or 0.0, duration
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadRow("NotANumber", f"{name} = {value!r}: expected a number")
    return number


def _word(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return str(value).strip() or None if value is not None else None


def _gather(votes: list[Vote], problems: list[Problem]) -> list[Labelled]:
    """Votes of one stretch together. A row that contradicts an earlier one becomes a problem.

    Of one file the first row's group counts for all, of one stretch the first row's split.
    """
    of_file: dict[Path, str | None] = {}
    of_stretch: dict[tuple[Path, float, float | None], list[Vote]] = {}
    some_split = any(v.split for v in votes)
    for vote in votes:
        key = (vote.file, vote.start_s, vote.duration_s)
        group = of_file.setdefault(vote.file, vote.group)
        first = of_stretch.get(key, [vote])[0]
        if some_split and vote.split is None:
            why = "split is empty, while other rows have one"
        elif vote.group != group:
            why = f"group = {vote.group!r}, but {group!r} in an earlier row of this file"
        elif vote.split != first.split:
            why = f"split = {vote.split!r}, but {first.split!r} in row {first.row} of this sound"
        else:
            of_stretch.setdefault(key, []).append(vote)
            continue
        problems.append(Problem(vote.row, vote.path, "Contradiction", why))
    return [_labelled(together) for together in of_stretch.values()]


def _labelled(votes: list[Vote]) -> Labelled:
    first, said = votes[0], np.array([v.mos for v in votes])
    spread = float(said.std(ddof=1)) if len(said) > 1 else math.nan
    return Labelled(
        tuple(v.row for v in votes), first.path, first.file, first.start_s, first.duration_s,
        float(said.mean()), len(said), spread, first.group or str(first.file), first.split,
    )  # fmt: skip
