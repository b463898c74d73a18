"""Ingest: files become clips.

    listed    what the source names now, with size, time and a hash of what is stated of each file
    pending   listed, less the files whose newest row saw the very same
    unit      a few files -> hash, probe, captions, windows -> rows of `clips`, then of `files`

Nothing is decoded here. A file that disappeared, changed, or whose caption changed gets a newer row;
the view `clips` shows the windows of the newest rows only.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ...audio.probe import AudioInfo, probe
from ...audio.sources import Entry, entries
from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, Unit, error_columns, output
from ...pipeline.views import create_view, one_row, open_duckdb, stream
from ...schemas.errors import AudioError, UnreadableAudio
from ...schemas.hashing import hash_file
from ...schemas.tables import Clip, File
from ..config import IngestConfig
from .source_captions import source_captions_of

VERSION = 1
FILES_A_UNIT = 8
SHORT = ("too_short", "short_tail")

_LISTED = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("request", pa.string()),
        ("request_sha256", pa.string()),
    ]
)

_PENDING = """
SELECT listed.*, NULL AS gone FROM listed ANTI JOIN newest n ON n.path = listed.path
  AND n.request_sha256 = listed.request_sha256
  AND n.size_bytes IS NOT DISTINCT FROM listed.size_bytes
  AND n.mtime_ns IS NOT DISTINCT FROM listed.mtime_ns
UNION ALL
SELECT n.path, NULL, NULL, '[]', 'gone', true FROM newest n ANTI JOIN listed USING (path)
WHERE n.root = $root AND n.error_type IS DISTINCT FROM 'FileGone'
"""


@dataclass
class IngestJob:
    """A Job: makes `clips` and `files` from a folder or manifest.

    limit: at most so many files in this run. ignored: files passed over, by suffix, once planned.
    """

    dataset: Dataset
    source: Path
    config: IngestConfig
    limit: int | None = None
    name: str = "ingest"
    ignored: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.source = self.source.resolve()
        params = asdict(self.config)
        self.outputs: tuple[Output, ...] = tuple(
            output(self.dataset, cls, VERSION, params, []) for cls in (Clip, File)
        )
        self.scan = 0
        self._con: duckdb.DuckDBPyConnection | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_con": None}

    def total(self) -> int:
        con = self._planned()
        (n,) = one_row(con, f"SELECT count(*) FROM ({_PENDING})", self._params)  # noqa: S608
        return min(n, self.limit) if self.limit is not None else n

    def units(self) -> Iterator[Unit]:
        pending = stream(self._planned(), f"{_PENDING} ORDER BY path", self._params)
        rows = itertools.islice(pending, self.limit)
        while block := tuple(itertools.islice(rows, FILES_A_UNIT)):
            yield Unit(block)

    def open(self) -> None:
        """Nothing to load."""

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        clips: list[Any] = []
        files: list[Any] = []
        for row in itertools.chain.from_iterable(unit.rows for unit in units):
            file, its_clips = self._ingest(row)
            files.append(file)
            clips += its_clips
        return {Clip: clips, File: files}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {File: [self._file(row, **error_columns(error)) for row in unit.rows]}

    @property
    def _params(self) -> dict[str, Any]:
        return {"root": str(self.source)}

    def _planned(self) -> duckdb.DuckDBPyConnection:
        """The plan, made at the first call: the tables `listed` and `newest`."""
        if self._con is None:
            con = open_duckdb(self.dataset)
            for out in self.outputs:
                create_view(con, out.cls, self.dataset, out.fingerprint, f"{out.table}_history")
            con.execute(
                "CREATE TABLE newest AS SELECT * FROM files_history"
                " QUALIFY row_number() OVER (PARTITION BY path ORDER BY scan DESC) = 1"
            )
            (last,) = one_row(
                con,
                "SELECT greatest((SELECT max(scan) FROM files_history),"
                " (SELECT max(scan) FROM clips_history))",
            )
            self.scan = (last or 0) + 1
            _fill_listed(con, self.source, self.ignored)
            self._con = con
        return self._con

    def _ingest(self, row: dict[str, Any]) -> tuple[File, list[Clip]]:
        if row["gone"]:
            return self._file(
                row,
                status="error",
                error_type="FileGone",
                error_message=f"{row['path']}: not found",
            ), []
        requests = [Entry(**r) for r in json.loads(row["request"])]
        for request in requests:
            if request.problem:
                kind, message = request.problem
                return self._file(row, status="error", error_type=kind, error_message=message), []
        try:
            info = probe(row["path"])
            sha256 = hash_file(row["path"])
            clips = [c for r in requests for c in self._clips(r, row["path"], sha256, info)]
        except AudioError as error:
            return self._file(row, **error_columns(error)), []
        except OSError as error:
            reason = UnreadableAudio(f"{row['path']}: {error.strerror}")
            return self._file(row, **error_columns(reason)), []
        for number, clip in enumerate(clips):
            clip["window_index"] = number
        file = self._file(
            row,
            sha256=sha256,
            duration_s=info.duration_s,
            rate_hz=info.rate_hz,
            channels=info.channels,
            codec=info.codec,
        )
        return file, [Clip(**clip) for clip in clips]

    def _file(self, row: dict[str, Any], **columns: Any) -> File:
        return File(
            path=row["path"],
            root=str(self.source),
            scan=self.scan,
            size_bytes=row["size_bytes"],
            mtime_ns=row["mtime_ns"],
            request_sha256=row["request_sha256"],
            **columns,
        )

    def _clips(
        self, request: Entry, path: str, sha256: str, info: AudioInfo
    ) -> Iterator[dict[str, Any]]:
        captions = asdict(source_captions_of(request, info))
        for start_s, duration_s, skip in windows_of(request, info.duration_s, self.config):
            yield {
                "clip_id": clip_id(sha256, start_s, duration_s),
                "path": path,
                "scan": self.scan,
                "file_sha256": sha256,
                "start_s": start_s,
                "duration_s": duration_s,
                "skip": skip,
                **captions,
            }


def clip_id(file_sha256: str, start_s: float, duration_s: float) -> str:
    """The content address of a window: 20 hex digits of a hash of bytes, start and duration."""
    text = f"{file_sha256}:{start_s:.6f}:{duration_s:.6f}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def windows_of(
    request: Entry, length_s: float, config: IngestConfig
) -> Iterator[tuple[float, float, str | None]]:
    """(start_s, duration_s, skip) of each window, in order.

    A request that names a window gets that one. Otherwise windows lie `hop_s` apart from 0 to the
    end; the last may be shorter. Below `min_tail` windows it is skipped: as `short_tail`, or as
    `too_short` where it is all there is.
    """
    if request.start_s is not None or request.duration_s is not None:
        yield request.start_s or 0.0, request.duration_s or config.window_s, None
        return
    hop = config.hop_s or config.window_s
    for number in itertools.count():
        start = round(number * hop, 6)
        rest = round(length_s - start, 6)
        if rest <= 0 and number:
            return
        if rest >= config.window_s:
            yield start, config.window_s, None
        else:
            short = rest < config.min_tail * config.window_s
            yield start, max(rest, 0.0), (SHORT[number > 0] if short else None)
            return


def _fill_listed(con: duckdb.DuckDBPyConnection, source: Path, ignored: Counter[str]) -> None:
    """The table `listed`: a row a path, with the requests of it in the order of the source."""
    con.execute("CREATE TABLE requests (path VARCHAR, line BIGINT, request VARCHAR)")
    lines = enumerate(entries(source, ignored))
    while batch := list(itertools.islice(lines, 2000)):
        requests = pa.table(
            {
                "path": [e.path for _, e in batch],
                "line": [n for n, _ in batch],
                "request": [_request(e) for _, e in batch],
            }
        )
        con.register("_batch", requests)
        con.execute("INSERT INTO requests SELECT * FROM _batch")
    grouped = con.sql(
        "SELECT path, '[' || string_agg(request, ',' ORDER BY line) || ']' FROM requests GROUP BY path"
    ).to_arrow_reader(2000)
    states = pa.RecordBatchReader.from_batches(_LISTED, (_stat_batch(b) for b in grouped))
    cursor = con.cursor()
    cursor.register("_states", states)
    cursor.execute("CREATE TABLE listed AS SELECT * FROM _states")


def _stat_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    paths, requests = (column.to_pylist() for column in batch.columns)
    return pa.RecordBatch.from_pylist(
        [_stat(path, request) for path, request in zip(paths, requests, strict=True)],
        schema=_LISTED,
    )


def _request(entry: Entry) -> str:
    """A request of a file, as JSON; ids given by others are no part of it."""
    return json.dumps({k: v for k, v in asdict(entry).items() if k != "id"})


def _stat(path: str, request: str) -> dict[str, Any]:
    """What the file system says of a path and its sidecars, without opening them."""
    state = _stat_or_none(path)
    beside = [_stat_or_none(str(Path(path).with_suffix(s))) for s in (".txt", ".json")]
    times = [(s.st_size, s.st_mtime_ns) if s else None for s in beside]
    return {
        "path": path,
        "size_bytes": state.st_size if state else None,
        "mtime_ns": state.st_mtime_ns if state else None,
        "request": request,
        "request_sha256": hashlib.sha256(f"{request}{times}".encode()).hexdigest(),
    }


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
