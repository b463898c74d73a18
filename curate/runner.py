"""The runner: plans, runs and commits a job, in this process or on Ray actors.

What it owns, once for all stages: resuming, bundles, commits, retries after a dead worker, counts,
progress. A bundle is a few units whose rows are committed as one part per table; its size follows
the measured speed so that a part is committed about every `COMMIT_EVERY_S` seconds. Workers send
back receipts only: no waveform and no row ever crosses the process border.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from ..schemas.store import Dataset
from .progress import Progress
from .stage import Job, Unit

COMMIT_EVERY_S = 20.0
LARGEST_BUNDLE = 4096


@dataclass(frozen=True)
class Receipt:
    """What a worker reports of one bundle. counts: (table, status) -> rows."""

    rows: int
    counts: Counter[tuple[str, str]]
    seconds: float


@dataclass
class Summary:
    """What a run did, for the line printed at the end of a station."""

    name: str
    planned: int
    rows: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0
    worker_seconds: float = 0.0

    def add(self, receipt: Receipt) -> None:
        self.rows += receipt.rows
        self.counts += receipt.counts
        self.worker_seconds += receipt.seconds


class Worker:
    """Runs bundles of one job after another: in this process, or as a Ray actor (`runner_ray`)."""

    def begin(self, job: Job, dataset: Dataset, threads: int) -> None:
        """Open the job's models; from here to `end` the next run of the dataset waits for us."""
        self._held = ExitStack()
        self._held.enter_context(dataset.worker_lock())
        self._job, self._dataset = job, dataset
        job.open()
        if "torch" in sys.modules:  # a job without a model need not load it
            sys.modules["torch"].set_num_threads(max(1, threads))

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
        made = rows.get(out.cls, [])
        dataset.commit(out.cls, out.fingerprint, made)
        counts.update((out.table, row.status) for row in made)
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


def run(
    job: Job,
    dataset: Dataset,
    workers: int = 0,
    threads: int = 0,
    ray_address: str | None = None,
    quiet: bool = False,
) -> Summary:
    """Run what is pending of a job and make its tables current.

    workers: 0 runs in this process, n > 0 on n Ray actors. threads: torch threads a worker; 0
    divides the machine's cores. The caller holds the dataset's lock. Can be stopped at any moment;
    the next call goes on with what is not committed.
    """
    for out in job.outputs:
        dataset.adopt(out.table, out.fingerprint, out.about)
    total = job.total()
    summary = Summary(job.name, total)
    if not total:
        return summary
    start = time.perf_counter()
    bundler = Bundler(job.units(), total, workers, getattr(job, "largest_bundle", LARGEST_BUNDLE))
    with Progress(job.name, total, quiet) as progress:
        for receipt in _receipts(job, dataset, bundler, workers, threads, ray_address):
            bundler.learn(receipt)
            summary.add(receipt)
            progress.advance(receipt.rows)
    summary.seconds = time.perf_counter() - start
    return summary


def _receipts(
    job: Job,
    dataset: Dataset,
    bundler: Bundler,
    workers: int,
    threads: int,
    ray_address: str | None,
) -> Iterator[Receipt]:
    if workers:
        from .runner_ray import receipts

        yield from receipts(job, dataset, bundler, workers, threads, ray_address)
        return
    import os

    worker = Worker()
    worker.begin(job, dataset, threads or os.cpu_count() or 1)
    try:
        while bundle := bundler.next():
            yield worker.run(bundle)
    finally:
        worker.end()
