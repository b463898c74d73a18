"""The store: immutable Parquet parts under `<table>/<fingerprint>/`, and nothing else.

    DIR/pmos/_current.json                  {"fingerprint": "3f...", "about": {...}}
    DIR/pmos/3f.../part-9a1c....parquet     rows, committed by write + fsync + rename
    DIR/.lock  DIR/.workers.lock            held while a run lasts; an ended process holds nothing

A fingerprint is a hash of stage version, model id, weights digest, parameters and the fingerprints
of the tables read; the same settings find their rows again, other settings never meet them.
`_current.json` says which fingerprint a reader is shown. A table whose parents have moved on is
stale: it is kept, and not shown.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..schemas.arrow import keys_of, name_of, to_arrow
from ..schemas.errors import DatasetBusy, StoreError


@dataclass(frozen=True)
class Current:
    """The state of a table that readers are shown.

    parents: fingerprint of each table it was made from, as they were then.
    """

    table: str
    fingerprint: str
    about: Mapping[str, Any]

    @property
    def parents(self) -> Mapping[str, str]:
        return self.about.get("parents", {})


@dataclass(frozen=True)
class Dataset:
    """A dataset folder. Creating the object touches nothing; the first commit makes the folder."""

    root: Path

    def folder(self, table: str, fingerprint: str) -> Path:
        return self.root / table / fingerprint

    def parts(self, table: str, fingerprint: str) -> list[Path]:
        """The committed parts of a table, sorted by name."""
        return sorted(self.folder(table, fingerprint).glob("part-*.parquet"))

    def current(self, table: str) -> Current | None:
        """What readers are shown of `table`, stale or not; None if it was never made."""
        try:
            text = (self.root / table / "_current.json").read_text()
        except FileNotFoundError:
            return None
        try:
            state = json.loads(text)
            return Current(table, state["fingerprint"], state["about"])
        except (ValueError, KeyError) as e:
            raise StoreError(
                f"{self.root / table / '_current.json'} is damaged ({e}); delete it and run the "
                "station again: rows already committed are found again"
            ) from e

    def tables(self) -> list[str]:
        """Names of the tables that were ever made here."""
        return sorted(p.parent.name for p in self.root.glob("*/_current.json"))

    def stale_parent(self, table: str) -> str | None:
        """The table on which `table` was built and which has changed since; None if fresh."""
        state = self.current(table)
        for parent, fingerprint in (state.parents if state else {}).items():
            now = self.current(parent)
            if now is None or now.fingerprint != fingerprint or self.stale_parent(parent):
                return parent
        return None

    def adopt(self, table: str, fingerprint: str, about: Mapping[str, Any]) -> None:
        """Show readers this state of the table from now on (atomic)."""
        self.folder(table, fingerprint).mkdir(parents=True, exist_ok=True)
        text = json.dumps({"fingerprint": fingerprint, "about": about}, indent=1, sort_keys=True)
        write_atomically(self.root / table / "_current.json", text.encode())

    def commit(self, cls: type, fingerprint: str, rows: Sequence[Any]) -> Path | None:
        """Write rows of one class as one part: temporary file, fsync, rename.

        The part is named by its content's keys, so the same rows committed again replace
        themselves. No rows, no part. Raises StoreError for a class that lacks its keys.
        """
        if not rows:
            return None
        group = getattr(cls, "ROW_GROUP", 50_000)
        plain = getattr(cls, "COMPRESSION", {})
        table = to_arrow(cls, rows)
        return self.commit_arrow(name_of(cls), fingerprint, table, group, plain, keys_of(cls))

    def commit_arrow(
        self,
        table: str,
        fingerprint: str,
        rows: pa.Table,
        row_group_rows: int = 50_000,
        compression: Mapping[str, str] | None = None,
        keys: Sequence[str] = ("clip_id",),
    ) -> Path:
        """Write an Arrow table as one part. compression: of columns that differ from zstd.
        keys: the columns that tell rows apart."""
        folder = self.folder(table, fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256()
        for column in sorted(keys):
            name.update(repr(rows.column(column).to_pylist()).encode())
        final = folder / f"part-{name.hexdigest()[:20]}.parquet"
        _write_part(rows, final, row_group_rows, compression or {})
        return final

    def forget_errors(self, table: str, fingerprint: str) -> int:
        """Take the error rows out of a table, so that the next run makes them anew.

        Returns how many there were. Each part is replaced atomically; a part left empty is removed.
        """
        forgotten = 0
        for part in self.parts(table, fingerprint):
            if "status" not in pq.read_schema(part).names:  # a table whose rows cannot be errors
                continue
            rows = pq.read_table(part)
            good = rows.filter(pc.equal(rows.column("status"), "ok"))
            if good.num_rows == rows.num_rows:
                continue
            forgotten += rows.num_rows - good.num_rows
            if good.num_rows:
                self.rewrite_part(part, good)
            else:
                part.unlink()
        return forgotten

    def rewrite_part(self, part: Path, rows: pa.Table) -> None:
        """Replace a part's rows atomically, written as they were: groups and compression stay."""
        _write_part(rows, part, *_written_as(part))

    def drop_state(self, table: str, fingerprint: str) -> None:
        """Delete one state of a table."""
        shutil.rmtree(self.folder(table, fingerprint), ignore_errors=True)

    def drop_other_states(self, table: str, keep: str) -> None:
        """Delete the states of a table made by SQL that `keep` supersedes: they cost nothing."""
        for folder in (self.root / table).iterdir():
            if folder.is_dir() and folder.name != keep:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete temporary files that a killed run left behind. Call with the lock held."""
        for leftover in self.root.glob("*/*/.part-*"):
            leftover.unlink(missing_ok=True)

    @contextmanager
    def lock(self, wait_s: float = 30.0) -> Iterator[None]:
        """Hold the folder for one run.

        Waits for workers of a run that was killed, since they may still commit; raises DatasetBusy
        when another run holds the folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (
            open(self.root / ".lock", "w") as mine,
            open(self.root / ".workers.lock", "w") as theirs,
        ):
            _flock(mine, fcntl.LOCK_EX, 0, f"{self.root} is in use by another run; wait or end it")
            _flock(
                theirs, fcntl.LOCK_EX, wait_s, f"workers of an ended run still write to {self.root}"
            )
            self.sweep()
            fcntl.flock(theirs, fcntl.LOCK_UN)
            yield

    @contextmanager
    def worker_lock(self) -> Iterator[None]:
        """Held by every worker process, so that the next run can wait for its end."""
        with open(self.root / ".workers.lock", "w") as f:
            fcntl.flock(f, fcntl.LOCK_SH)
            yield


def fingerprint(
    stage: str,
    version: int,
    params: Mapping[str, Any],
    parents: Mapping[str, str],
    model_id: str = "",
    weights: str = "",
) -> tuple[str, dict[str, Any]]:
    """The fingerprint of a table's state (16 hex digits) and what it was hashed from."""
    about = {
        "stage": stage,
        "version": version,
        "params": dict(params),
        "parents": dict(parents),
        "model_id": model_id,
        "weights": weights,
    }
    canonical = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16], about


def _written_as(part: Path) -> tuple[int, dict[str, str]]:
    """Rows a group of a part, and its columns that are not compressed."""
    group = pq.read_metadata(part).row_group(0)
    columns = (group.column(k) for k in range(group.num_columns))
    plain = {c.path_in_schema: "NONE" for c in columns if c.compression == "UNCOMPRESSED"}
    return group.num_rows, plain


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content: a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, lambda f: f.write(content))


def _write_part(
    rows: pa.Table,
    final: Path,
    row_group_rows: int,
    compression: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Columns named in `compression` are bulk data: no dictionary and no statistics either."""
    rest = [name for name in rows.column_names if name not in compression]
    codecs = {name: compression.get(name, "zstd") for name in rows.column_names}

    def write(file: IO[bytes]) -> None:
        if compression:
            pq.write_table(
                rows, file, row_group_size=row_group_rows, compression=codecs,
                use_dictionary=rest, write_statistics=rest,
            )  # fmt: skip
        else:
            pq.write_table(rows, file, row_group_size=row_group_rows, compression="zstd")

    _replace(final, write)


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file beside `path`, fsync, rename, fsync the folder."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flock(file: Any, how: int, wait_s: float, refusal: str) -> None:
    """flock, tried until `wait_s` is over. The kernel frees it when the process ends, however."""
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError as e:
            if time.monotonic() >= end:
                raise DatasetBusy(refusal) from e
            time.sleep(0.1)
