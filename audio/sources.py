"""What to read: the entries of a folder or of a manifest, problems included.

A folder gives one entry per audio file, in order of path. A manifest (jsonl, csv, tsv, parquet)
gives one per row, with any of `id, path, start_s, duration_s, caption, tags, source, licence`;
other columns are passed over. What cannot be used (a bad line, a link that leads in circles, a name that
is no UTF-8) is an entry with a `problem`, never a silent gap.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..schemas.errors import ConfigError

AUDIO = frozenset(
    ".wav .wave .flac .ogg .oga .mp3 .opus .m4a .aac .mp4 .aif .aiff .aifc .wma .w64 .au".split()
)
MANIFESTS = (".jsonl", ".csv", ".tsv", ".parquet")
COLUMNS = ("id", "path", "start_s", "duration_s", "caption", "tags", "source", "licence")


@dataclass(frozen=True)
class Entry:
    """One request: a file, perhaps a window of it, and what is known of it.

    id: a name that others know it by. extra: the text of the further column `entries` reads.
    problem: why it cannot be used, as (error type, message); then `path` names the culprit.
    """

    path: str
    start_s: float | None = None
    duration_s: float | None = None
    caption: str | None = None
    tags: list[str] | None = None
    source: str | None = None
    licence: str | None = None
    problem: tuple[str, str] | None = None
    id: str | None = None
    extra: str | None = None


def entries(source: Path, ignored: Counter[str], extra: str = "") -> Iterator[Entry]:
    """The entries of a folder or manifest. Counts files passed over by suffix in `ignored`.

    extra: a column of the manifest to read besides `COLUMNS`, as text.
    Raises ConfigError when `source` is neither.
    """
    if source.is_dir():
        return _folder(source, ignored)
    if source.is_file() and source.suffix.lower() in MANIFESTS:
        return _manifest(source, extra)
    raise ConfigError(
        f"{source} is neither a folder nor a manifest ({', '.join(MANIFESTS)}); give one of them"
    )


def _folder(root: Path, ignored: Counter[str]) -> Iterator[Entry]:
    seen = {_identity(root)}
    stack = [str(root.resolve())]
    while stack:
        folder = stack.pop()
        try:
            items = sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name))
        except OSError as error:
            yield _problem(folder, "UnreadableFolder", error.strerror or str(error))
            continue
        inner = []
        for item in items:
            if item.name.startswith("."):
                ignored["hidden"] += 1
            elif _is_folder(item):
                identity = _identity(Path(item.path))
                if identity in seen:
                    yield _problem(
                        item.path, "SymlinkLoop", "leads to a folder that is in the scan already"
                    )
                else:
                    seen.add(identity)
                    inner.append(item.path)
            elif Path(item.name).suffix.lower() not in AUDIO:
                ignored[Path(item.name).suffix.lower() or "no suffix"] += 1
            else:
                yield _file(item.path)
        stack += reversed(inner)


def _file(path: str) -> Entry:
    try:
        path.encode()
    except UnicodeEncodeError:
        return _problem(path, "BadFileName", "the name is not UTF-8; rename the file")
    return Entry(path)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads in a circle: the file's own stage reports it
        return False


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def _problem(path: str, kind: str, message: str) -> Entry:
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    return Entry(shown, problem=(kind, f"{shown}: {message}"))


def _manifest(path: Path, extra: str = "") -> Iterator[Entry]:
    rows = {".jsonl": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    for number, row in rows[path.suffix.lower()](path, extra):
        where = f"{path}:{number}"
        if isinstance(row, str):
            yield _problem(where, "BadManifestRow", row)
            continue
        try:
            yield _entry(row, path.parent, extra)
        except (ValueError, TypeError) as error:
            yield _problem(where, "BadManifestRow", str(error))


def _jsonl(path: Path, _: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                yield number, f"not JSON: {error}"
                continue
            yield number, row if isinstance(row, dict) else 'expected an object like {"path": ...}'


def _csv(path: Path, _: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    tab = path.suffix.lower() == ".tsv"
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        reader = csv.DictReader(f, delimiter="\t" if tab else ",", restkey="", restval=None)
        if "path" not in (reader.fieldnames or []):
            raise ConfigError(f"{path}: no column `path`; the first line names {reader.fieldnames}")
        for row in reader:
            if "" in row:
                yield reader.line_num, f"more fields than the first line names: {row['']}"
            else:
                yield reader.line_num, row


def _parquet(path: Path, extra: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    file = pq.ParquetFile(path)
    names = [n for n in file.schema_arrow.names if n in (*COLUMNS, extra)]
    if "path" not in names:
        raise ConfigError(f"{path}: no column `path`; it has {file.schema_arrow.names}")
    number = 0
    for batch in file.iter_batches(columns=names):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _entry(row: dict[str, Any], base: Path, extra: str = "") -> Entry:
    """The entry of a manifest row; paths count from the manifest's folder."""
    path = row.get("path")
    if not isinstance(path, str) or not path:
        raise ValueError(f"path = {path!r}: expected a file name")
    path.encode()
    absolute = os.path.abspath(base / path)
    start, duration = _seconds(row, "start_s"), _seconds(row, "duration_s")
    if duration is not None and duration <= 0:
        raise ValueError(f"duration_s = {duration}: expected more than 0")
    return Entry(
        absolute,
        start,
        duration,
        _text(row, "caption"),
        tag_list(row.get("tags")),
        _text(row, "source"),
        _text(row, "licence"),
        id=_id(row),
        extra=_text(row, extra) if extra else None,
    )


def _seconds(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} = {value!r}: expected seconds, 0 or more")
    return seconds


def _id(row: dict[str, Any]) -> str | None:
    value = row.get("id")
    return str(value) if isinstance(value, int) else _text(row, "id")


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} = {value!r}: expected text")
    value.encode()
    return value.strip()


def tag_list(value: Any) -> list[str] | None:
    """Tags from a list, or from text separated by commas or semicolons."""
    if value is None:
        return None
    if isinstance(value, str):
        value = value.replace(";", ",").split(",")
    if not isinstance(value, list | tuple):
        raise ValueError(f"tags = {value!r}: expected a list, or text separated by commas")
    return [str(tag).strip() for tag in value if str(tag).strip()]
