"""The runner: plans, runs and commits a job, in this process or on Ray actors.

What it owns, once for all stages: resuming, bundles and commits (`worker`), retries after a dead
worker (`ray_runner`), counts, progress.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .dataset import Dataset
from .job import Job
from .progress import Progress
from .worker import LARGEST_BUNDLE, Bundler, Receipt, Worker


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


def run(
    job: Job,
    dataset: Dataset,
    workers: int = 0,
    threads: int = 1,
    ray_address: str | None = None,
    quiet: bool = False,
) -> Summary:
    """Run what is pending of a job and make its tables current.

    workers: 0 runs in this process, n > 0 on n Ray actors. threads: what a worker computes with.
    The caller holds the dataset's lock. Can be stopped at any moment; the next call goes on with
    what is not committed.
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
        from .ray_runner import receipts

        yield from receipts(job, dataset, bundler, workers, threads, ray_address)
        return
    worker = Worker()
    try:
        worker.begin(job, dataset, threads)
        while bundle := bundler.next():
            yield worker.run(bundle)
    finally:
        worker.end()
