"""Lists of clips to drop: `filter --exclude FILE`, a clip id or a path a line or row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ...schemas.errors import ConfigError

COLUMNS = ("clip_id", "path")  # one of them a csv, jsonl or parquet file must have


@dataclass(frozen=True)
class Excluded:
    """What the lists name. table: columns `name` (a clip id or an absolute path) and `line` (as it
    stands in the list; a relative path has a row for each place where it may lie). sha256: of them."""

    table: pa.Table
    sha256: str


def read_excluded(files: Sequence[str | Path], roots: Sequence[str]) -> Excluded:
    """The clips that the lists name.

    files: `.csv`, `.tsv`, `.jsonl` and `.parquet` with a column clip_id or path, else text with one
    a line. roots: folders (or manifests) that relative paths may be relative to, beside the list's
    own folder. Raises ConfigError for a list that cannot be read, or has neither column.
    """
    names: list[str] = []
    lines: list[str] = []
    digest = hashlib.sha256()
    for file in files:
        path = Path(file).expanduser()
        for line in _lines(path):
            digest.update(line.encode() + b"\0")
            for name in _places(line, path.resolve().parent, roots):
                names.append(name)
                lines.append(line)
    table = pa.table({"name": pa.array(names, pa.string()), "line": pa.array(lines, pa.string())})
    return Excluded(table, digest.hexdigest())


def _lines(path: Path) -> Iterator[str]:
    try:
        rows: list[str | None]
        match path.suffix.lower():
            case ".csv":
                rows = _column(pyarrow.csv.read_csv(path), path)
            case ".tsv":
                options = pyarrow.csv.ParseOptions(delimiter="\t")
                rows = _column(pyarrow.csv.read_csv(path, parse_options=options), path)
            case ".parquet":
                rows = _column(pq.read_table(path), path)
            case ".jsonl":
                text = path.read_text(encoding="utf-8")
                records = [json.loads(line) for line in text.splitlines() if line.strip()]
                rows = _column(pa.Table.from_pylist(records), path)
            case _:
                rows = list(path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, pa.ArrowException, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"exclude {path} cannot be read: {reason}; expected a clip id or path a line, or a csv, "
            "jsonl or parquet file with a column clip_id or path"
        ) from error
    yield from (row.strip() for row in rows if row and row.strip())


def _column(table: pa.Table, path: Path) -> list[str | None]:
    for name in COLUMNS:
        if name in table.column_names:
            return [None if v is None else str(v) for v in table.column(name).to_pylist()]
    if not table.num_rows:
        return []
    raise ConfigError(
        f"exclude {path} has the columns {', '.join(table.column_names)}: expected clip_id or path"
    )


def _places(line: str, folder: Path, roots: Sequence[str]) -> Iterator[str]:
    """The line itself, and where it may lie as a relative path."""
    yield line
    if not Path(line).is_absolute():
        bases = [folder, *(base for r in map(Path, roots) for base in (r, r.parent))]
        yield from dict.fromkeys(str(base / line) for base in bases)
