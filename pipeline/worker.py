"""A worker: computes and commits bundles of units; the same class in this process and on Ray.

A bundle is a few units whose rows are committed as one part per table; its size follows the
measured speed so that a part is committed about every `COMMIT_EVERY_S` seconds. Workers report
receipts only: no waveform and no row ever crosses the process border.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from ..schemas import plugins
from ..schemas.plugins import PluginFile
from .dataset import Dataset
from .job import Job, Unit

COMMIT_EVERY_S = 20.0
LARGEST_BUNDLE = 4096


@dataclass(frozen=True)
class Receipt:
    """What a worker reports of one bundle. counts: (table, status) -> rows."""

    rows: int
    counts: Counter[tuple[str, str]]
    seconds: float


class Worker:
    """Runs bundles of one job after another: in this process, or as a Ray actor (`ray_runner`)."""

    def receive(self, files: Sequence[PluginFile]) -> None:
        """Import plug-in files. An actor must have them before a job of theirs is unpickled."""
        plugins.receive(files)

    def begin(self, job: Job, dataset: Dataset, threads: int) -> None:
        """Open the job's models; from here to `end` the next run of the dataset waits for us."""
        self._held = ExitStack()
        self._held.enter_context(dataset.worker_lock())
        self._job, self._dataset = job, dataset
        job.open()
        # The same number of threads everywhere: sums of other parts differ in their last bits.
        self._held.enter_context(threadpool_limits(threads))
        if "torch" in sys.modules:  # a job without a model need not load it
            sys.modules["torch"].set_num_threads(threads)

    def run(self, units: Sequence[Unit]) -> Receipt:
        """Compute and commit one bundle."""
        start = time.perf_counter()
        receipt = commit(self._dataset, self._job, units, self._job.run(units))
        return Receipt(receipt.rows, receipt.counts, time.perf_counter() - start)

    def end(self) -> None:
        """Let go of the dataset and of the job's models."""
        self._held.close()
        del self._job, self._dataset


def commit(dataset: Dataset, job: Job, units: Sequence[Unit], rows: dict[type, list]) -> Receipt:
    """Commit a bundle's rows, one part per table, in the order of the job's outputs."""
    counts: Counter[tuple[str, str]] = Counter()
    for out in job.outputs:
        of_table = rows.get(out.cls, [])
        dataset.commit(out.cls, out.fingerprint, of_table)
        # A table whose rows cannot be errors has no status.
        counts.update((out.table, getattr(row, "status", "ok")) for row in of_table)
    return Receipt(sum(len(u.rows) for u in units), counts, 0.0)


class Bundler:
    """Cuts the stream of units into bundles of about `COMMIT_EVERY_S` seconds of work."""

    def __init__(
        self, units: Iterator[Unit], total: int, workers: int, largest: int = LARGEST_BUNDLE
    ) -> None:
        self._units = units
        self._largest = largest
        self._left = total
        self._workers = max(1, workers)
        self._rows_per_s = 0.0

    def learn(self, receipt: Receipt) -> None:
        """Follow the speed that a worker just showed."""
        now = receipt.rows / max(receipt.seconds, 1e-3)
        self._rows_per_s = now if not self._rows_per_s else (self._rows_per_s + now) / 2

    def next(self) -> list[Unit]:
        """The next bundle; empty when the plan is done."""
        want = min(self._rows_per_s * COMMIT_EVERY_S, self._largest)
        want = min(want, self._left / (2 * self._workers))  # all workers end together
        bundle: list[Unit] = []
        rows = 0
        for unit in self._units:
            bundle.append(unit)
            rows += len(unit.rows)
            if rows >= want:
                break
        self._left -= rows
        return bundle
