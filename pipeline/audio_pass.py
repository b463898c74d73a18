"""The listening pass: one decode of each clip, as many listeners as have not heard it yet.

A Listener hears audio: `hear(sounds)` gives one answer per sound, in order, and an answer is either
the table's own columns or the exception that kept it from one. It knows nothing of Ray, files,
retries or progress.

The unit is a block of windows of one file, fixed by their numbers. Before it is decoded the file is
compared with what ingest saw, so that no score is ever made of other bytes. A listener that fails
on a batch hears its sounds again one by one: the bad one gets its error, the others their rows.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb

from ..audio.decode import read_windows
from ..audio.sound import Sound
from ..schemas.errors import AudioError, FileChanged, UnreadableAudio
from ..schemas.hashing import hash_file
from .dataset import Dataset
from .job import Output, Unit, error_columns
from .views import connect, create_view, one_row, stream

BLOCK = 32  # windows of 10 s in one unit: 115 MB of 44.1 kHz stereo

_PLAN = """
SELECT c.clip_id, c.path, c.window_index, c.start_s, c.duration_s, c.file_sha256,
       f.size_bytes, f.mtime_ns{flags}
FROM clips c JOIN files f USING (path){joins}
WHERE c.skip IS NULL{kept} AND ({any_pending})
"""
_KEPT = " AND c.clip_id IN (SELECT clip_id FROM decisions WHERE kept)"


Answer = Mapping[str, Any] | Exception


class Listener(Protocol):
    """A stage that hears audio.

    writes: the row class of its table. version: raised whenever the same input gives other
    numbers. model_id, weights: "" where there is no model.
    """

    writes: type
    version: int

    @property
    def model_id(self) -> str: ...

    @property
    def weights(self) -> str: ...

    def open(self) -> None:
        """Load what is needed; called once in each worker."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        """One answer per sound, same order. An answer must not depend on the other sounds."""


@dataclass
class ListenJob:
    """A Job: hears every clip that some listener has no row of.

    limit: at most so many clips in this run. kept_only: only clips that the filter station kept.
    """

    dataset: Dataset
    listeners: tuple[Listener, ...]
    outputs: tuple[Output, ...]
    limit: int | None = None
    name: str = "score"
    kept_only: bool = False

    def total(self) -> int:
        with self._plan() as con:
            (n,) = one_row(con, f"SELECT count(*) FROM ({self._sql()})")  # noqa: S608
        return min(n, self.limit) if self.limit is not None else n

    def units(self) -> Iterator[Unit]:
        order = f"{self._sql()} ORDER BY c.path, c.window_index"
        with self._plan() as con:
            rows = itertools.islice(stream(con, order), self.limit)
            for _, block in itertools.groupby(
                rows, lambda r: (r["path"], r["window_index"] // BLOCK)
            ):
                yield Unit(tuple(block))

    def open(self) -> None:
        for listener in self.listeners:
            listener.open()

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        made: dict[type, list[Any]] = {listener.writes: [] for listener in self.listeners}
        for unit in units:
            items = self._decode(unit)
            for number, listener in enumerate(self.listeners):
                due = [
                    (row, item)
                    for row, item in zip(unit.rows, items, strict=True)
                    if row[f"pending_{number}"]
                ]
                made[listener.writes] += answers(listener, due)
        return made

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {
            listener.writes: [
                as_row(listener, row["clip_id"], error)
                for row in unit.rows
                if row[f"pending_{number}"]
            ]
            for number, listener in enumerate(self.listeners)
        }

    def _decode(self, unit: Unit) -> list[Sound | AudioError]:
        first = unit.rows[0]
        try:
            check_unchanged(first)
        except AudioError as error:
            return [error] * len(unit.rows)
        windows = [(r["start_s"], r["duration_s"]) for r in unit.rows]
        return list(read_windows(first["path"], windows))

    def _plan(self) -> duckdb.DuckDBPyConnection:
        con = connect(self.dataset)
        for number, out in enumerate(self.outputs):
            create_view(con, out.cls, self.dataset, out.fingerprint, f"done_{number}")
        return con

    def _sql(self) -> str:
        """The plan's query; nothing but our own numbered names is put into it."""
        numbers = range(len(self.outputs))
        return _PLAN.format(
            flags="".join(f", d{i}.clip_id IS NULL AS pending_{i}" for i in numbers),
            joins="".join(
                f" LEFT JOIN (SELECT clip_id FROM done_{i}) d{i}"  # noqa: S608 - a number of ours
                f" ON d{i}.clip_id = c.clip_id"
                for i in numbers
            ),
            kept=_KEPT if self.kept_only else "",
            any_pending=" OR ".join(f"d{i}.clip_id IS NULL" for i in numbers),
        )


def answers(
    listener: Listener, due: Sequence[tuple[dict[str, Any], Sound | AudioError]]
) -> list[Any]:
    """One row per (plan row, sound or error), in order."""
    heard: dict[str, Answer] = {}
    sounds = [(row["clip_id"], item) for row, item in due if isinstance(item, Sound)]
    if sounds:
        replies = _extract(listener, [sound for _, sound in sounds])
        heard = {clip: reply for (clip, _), reply in zip(sounds, replies, strict=True)}
    return [
        as_row(
            listener,
            row["clip_id"],
            item if isinstance(item, AudioError) else heard[row["clip_id"]],
        )
        for row, item in due
    ]


def _extract(listener: Listener, sounds: Sequence[Sound]) -> Sequence[Answer]:
    try:
        replies = listener.extract(sounds)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is that row's error
        if len(sounds) == 1:
            return [error]
        return [reply for sound in sounds for reply in _extract(listener, [sound])]
    if len(replies) != len(sounds):
        raise RuntimeError(
            f"{type(listener).__name__}.hear gave {len(replies)} answers to {len(sounds)} sounds"
        )
    return replies


def as_row(listener: Listener, clip_id: str, answer: Answer) -> Any:
    """The table row for one answer."""
    cls = listener.writes
    fields: dict[str, Any] = {"clip_id": clip_id}
    if listener.model_id:
        fields |= {"model_id": listener.model_id, "weights": listener.weights}
    if isinstance(answer, Exception):
        return cls(**fields, **error_columns(answer))
    return cls(**fields, **answer)


def check_unchanged(row: dict[str, Any]) -> None:
    """Raise FileChanged unless the file holds the bytes that ingest hashed.

    Size and modification time settle it; where only the time differs, the bytes are hashed again.
    """
    try:
        now = os.stat(row["path"])
    except OSError as error:
        raise UnreadableAudio(f"{row['path']}: {error.strerror}") from error
    if (now.st_size, now.st_mtime_ns) == (row["size_bytes"], row["mtime_ns"]):
        return
    if now.st_size != row["size_bytes"] or hash_file(row["path"]) != row["file_sha256"]:
        raise FileChanged(
            f"{row['path']} is not the file that was ingested (its bytes changed); run "
            "`qamdt-curate ingest` again"
        )
