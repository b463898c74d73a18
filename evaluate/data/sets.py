"""Sets of clips: what is evaluated, and what it is held against, with an id for each clip.

A set is a folder of audio, Parquet shards with an `audio` column (a file or a folder of them, as
`qamdt-curate export` writes), a manifest (jsonl, csv, tsv, parquet), or a .txt file of paths. Ids
pair sets: of a folder, the path under it without the suffix; of shards, `id` or `clip_id`; of a
list, its `id`, else the file's name without the suffix. Two clips of one id are ambiguous:
the later one is a problem, never a silent choice.

Content names a clip in the cache: the hash of the file's bytes and of the stretch that is used.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ...audio.sources import AUDIO, MANIFESTS, entries
from ...schemas.errors import ConfigError
from ...schemas.hashing import hash_file


@dataclass(frozen=True)
class Item:
    """One clip of a set.

    path: the file, or the shard it lies in. row: its row in the shard, else None.
    start_s, duration_s: the stretch that is used; None is from the start, to the end.
    content: the hash that names it in the cache; of a shard's row, until then, that of its bytes.
    stamp: size and modification time (ns) of the file when it was hashed.
    problem: why it cannot be read, as 'Type: message'.
    """

    id: str
    path: str
    start_s: float | None = None
    duration_s: float | None = None
    caption: str | None = None
    row: int | None = None
    content: str = ""
    stamp: tuple[int, int] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ClipSet:
    """The clips of one set in order of id, and what was passed over, by suffix."""

    source: str
    items: tuple[Item, ...]
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> list[Item]:
        """Those that could be opened as far as their bytes."""
        return [item for item in self.items if item.problem is None]

    @property
    def digest(self) -> str:
        """16 hex digits over ids and contents: the set, whatever it is called and ordered."""
        text = "\n".join(f"{item.id}/{item.content}" for item in self.good)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_set(source: Path, limit: int | None = None, seconds: float | None = None) -> ClipSet:
    """The clips of a set, their contents hashed.

    limit: the first so many in order of id. seconds: use at most so much of each clip's start.
    Raises ConfigError where `source` is no set, or holds no clip.
    """
    ignored: Counter[str] = Counter()
    items = _distinct(sorted(_items(source, ignored), key=lambda item: (item.id, item.path)))
    items = items[:limit]
    if seconds is not None:
        items = [replace(i, duration_s=min(seconds, i.duration_s or seconds)) for i in items]
    if not items:
        raise ConfigError(f"{source} holds no clip: give a folder of audio, shards or a list")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        named = tuple(pool.map(_with_content, items))
    return ClipSet(str(source), named, ignored)


def _items(source: Path, ignored: Counter[str]) -> Iterator[Item]:
    if source.suffix.lower() == ".txt" and source.is_file():
        yield from _text_list(source)
    elif shards := _shards(source):
        for shard in shards:
            yield from _of_shard(shard)
    elif source.is_dir() or source.suffix.lower() in MANIFESTS:
        yield from _of_entries(source, ignored)
    else:
        raise ConfigError(
            f"{source} is no set of clips: expected a folder of audio or of shards, a manifest "
            f"({', '.join(MANIFESTS)}) or a .txt file of paths"
        )


def _text_list(source: Path) -> Iterator[Item]:
    for line in source.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.strip():
            path = Path(os.path.abspath(source.parent / line.strip()))
            yield Item(path.stem, str(path))


def _of_entries(source: Path, ignored: Counter[str]) -> Iterator[Item]:
    root = str(source.resolve()) if source.is_dir() else None
    for entry in entries(source, ignored):
        path = Path(entry.path)
        inside = root is not None and entry.problem is None
        name = path.relative_to(root or "").with_suffix("").as_posix() if inside else path.stem
        problem = ": ".join(entry.problem) if entry.problem else None
        yield Item(
            entry.id or (entry.path if problem else name), entry.path, entry.start_s,
            entry.duration_s, entry.caption, problem=problem,
        )  # fmt: skip


def _shards(source: Path) -> list[Path]:
    """The shards that `source` is, or holds; [] where it is something else."""
    if source.is_file() and source.suffix.lower() == ".parquet":
        return [source] if "audio" in pq.read_schema(source).names else []
    if not source.is_dir():
        return []
    inside = sorted(p for p in source.rglob("*.parquet") if not p.name.startswith("."))
    if any(p.suffix.lower() in AUDIO for p in source.iterdir()):
        return []
    return [p for p in inside if "audio" in pq.read_schema(p).names]


def _of_shard(shard: Path) -> Iterator[Item]:
    """Items of a shard: audio by row where its bytes are inside, else by the path it names."""
    file = pq.ParquetFile(shard)
    names = file.schema_arrow.names
    wanted = [n for n in ("id", "clip_id", "caption", "start_s", "duration_s") if n in names]
    number = -1
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=[*wanted, "audio"])
        yield from (_shard_item(shard, (number := number + 1), row) for row in rows.to_pylist())


def _shard_item(shard: Path, number: int, row: dict[str, Any]) -> Item:
    name = str(row.get("id") or row.get("clip_id") or f"{shard.stem}/{number}")
    audio = row["audio"] or {}
    if audio.get("bytes"):  # they are exactly the clip
        raw = hashlib.sha256(audio["bytes"]).hexdigest()
        return Item(name, str(shard), caption=row.get("caption"), row=number, content=raw)
    if audio.get("path"):
        place = os.path.abspath(shard.parent / audio["path"])
        return Item(name, place, row.get("start_s"), row.get("duration_s"), row.get("caption"))
    problem = f"BadShardRow: {shard}, row {number}: neither bytes nor a path"
    return Item(name, str(shard), problem=problem)


def _distinct(items: Sequence[Item]) -> list[Item]:
    """The items, the second and later of an id marked as a problem and renamed by its path."""
    seen: dict[str, str] = {}
    distinct = []
    for item in items:
        first = seen.setdefault(item.id, item.path)
        if first is not item.path and item.problem is None:
            problem = f"DuplicateId: {item.path} has the id {item.id!r} of {first}"
            item = replace(item, id=item.path, problem=problem)
        distinct.append(item)
    return distinct


def _with_content(item: Item) -> Item:
    if item.problem is not None:
        return item
    try:
        stamp = stamp_of(item.path)
        raw = item.content or hash_file(item.path)
    except OSError as error:
        return replace(item, problem=f"UnreadableAudio: {item.path}: {error.strerror}")
    stretch = f"{raw}/{item.start_s or 0.0!r}/{item.duration_s!r}"
    content = hashlib.sha256(stretch.encode()).hexdigest()[:32]
    return replace(item, content=content, stamp=stamp)


def stamp_of(path: str) -> tuple[int, int]:
    """Size and modification time (ns) of a file. Raises OSError."""
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


def shard_bytes(path: str, row: int) -> bytes:
    """The audio bytes of one row of a shard, by reading the row group it lies in."""
    group, inside = _row_group(path, row)
    audio: dict[str, Any] = _audio_of_group(path, group)[inside].as_py()
    return bytes(audio["bytes"])


@lru_cache(maxsize=1)  # rows of one group are read one after another
def _audio_of_group(path: str, group: int) -> Any:
    return pq.ParquetFile(path).read_row_group(group, columns=["audio"]).column("audio")


def _row_group(path: str, row: int) -> tuple[int, int]:
    about = pq.read_metadata(path)
    for group in range(about.num_row_groups):
        count = about.row_group(group).num_rows
        if row < count:
            return group, row
        row -= count
    raise ConfigError(f"{path} has no row {row} any more: it changed while it was read")
