"""The listening pass: one decode of each clip, as many listeners as have no row of it yet.

A Listener is a stage that hears audio: `extract(sounds)` gives one answer per sound, in order. An
answer is either the table's own columns or the exception that kept it from one. A listener knows
nothing of Ray, files, retries or progress.

`AudioPass` is what every such job shares: each unit is decoded once, every listener gets the sounds
that it has no row of, a batch that fails is run again sound by sound (the bad one gets its error,
the others their rows), and each planned row comes out as one row, ok or error. A job adds its plan
and its decoding. `ListenJob` is the pass over the clips of a dataset; evaluation has one over sets
of files and shards (`evaluate/features/extract.py`).
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


class RowSource(Protocol):
    """What fills a table: its row class, and the model that every row names ("" for none)."""

    writes: type

    @property
    def model_id(self) -> str: ...

    @property
    def weights(self) -> str: ...


class Listener(RowSource, Protocol):
    """A stage that hears audio.

    writes: the row class of its table. version: raised whenever the same input gives other
    numbers. model_id, weights: "" where there is no model.
    """

    version: int

    def open(self) -> None:
        """Load what is needed; called once in each worker."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        """One answer per sound, same order. An answer must not depend on the other sounds."""


class AudioPass:
    """The part of a Job that runs listeners over decoded sounds.

    A subclass gives `listeners`, the plan (`total`, `units`) and `decode`. A row of a unit has
    `clip_id`, and `pending_0`, `pending_1`, ...: whether that listener has no row of the clip yet.
    """

    listeners: tuple[Listener, ...]

    @property
    def together(self) -> bool:
        """Whether a listener gets the sounds of a unit as one batch, or one after another."""
        return True

    def decode(self, unit: Unit) -> Sequence[Sound | AudioError]:
        """One sound, or why there is none, per row of the unit, in order."""
        raise NotImplementedError

    def open(self) -> None:
        """Load the models; called once in each worker."""
        for listener in self.listeners:
            listener.open()

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        """Rows of each listener's table: one per pending row of the units, in order."""
        results: dict[type, list[Any]] = {listener.writes: [] for listener in self.listeners}
        for unit in units:
            sounds = self.decode(unit)
            for number, listener in enumerate(self.listeners):
                due = [
                    (row["clip_id"], sound)
                    for row, sound in zip(unit.rows, sounds, strict=True)
                    if row[f"pending_{number}"]
                ]
                results[listener.writes] += rows_of(listener, due, self.together)
        return results

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        """Error rows for a unit whose worker died."""
        return {
            listener.writes: [
                as_row(listener, row["clip_id"], error)
                for row in unit.rows
                if row[f"pending_{number}"]
            ]
            for number, listener in enumerate(self.listeners)
        }


@dataclass
class ListenJob(AudioPass):
    """A Job over the clips of a dataset: every clip that some listener has no row of.

    The unit is a block of windows of one file, fixed by their numbers. Before it is decoded the file
    is compared with what ingest saw, so that no score is ever made of other bytes.

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

    def decode(self, unit: Unit) -> Sequence[Sound | AudioError]:
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


def rows_of(
    listener: Listener, due: Sequence[tuple[str, Sound | AudioError]], together: bool = True
) -> list[Any]:
    """One row of the listener's table per (clip_id, sound or error), in order.

    together: all sounds in one batch; otherwise each alone, so that no answer depends on a batch.
    """
    sounds = [sound for _, sound in due if isinstance(sound, Sound)]
    batches = [sounds] if together else [[sound] for sound in sounds]
    answers = itertools.chain.from_iterable(_extract(listener, batch) for batch in batches if batch)
    return [
        as_row(listener, clip_id, next(answers) if isinstance(sound, Sound) else sound)
        for clip_id, sound in due
    ]


def _extract(listener: Listener, sounds: Sequence[Sound]) -> Sequence[Answer]:
    try:
        answers = listener.extract(sounds)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is that row's error
        if len(sounds) == 1:
            return [error]
        return [answer for sound in sounds for answer in _extract(listener, [sound])]
    if len(answers) != len(sounds):
        raise RuntimeError(
            f"{type(listener).__name__}.extract gave {len(answers)} answers to {len(sounds)} sounds"
        )
    return answers


def as_row(source: RowSource, clip_id: str, answer: Answer) -> Any:
    """The table row for one answer."""
    fields: dict[str, Any] = {"clip_id": clip_id}
    if source.model_id:
        fields |= {"model_id": source.model_id, "weights": source.weights}
    columns = error_columns(answer) if isinstance(answer, Exception) else answer
    return source.writes(**fields, **columns)


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
