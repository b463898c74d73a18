"""The Ray side of the runner: actors that compute and commit, a driver that sees receipts.

An actor that dies (a decoder's segmentation fault, memory) takes its bundle with it. The bundle is
cut into single units and tried again on a new actor; a unit that kills two actors becomes error
rows of type WorkerDied, and the run goes on.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from ..schemas import plugins
from ..schemas.errors import ConfigError, ModelError, WorkerDied
from .dataset import Dataset
from .job import Job, Unit
from .worker import Bundler, Receipt, Worker, commit

DEATHS_ALLOWED = 2
_hired: list[Any] = []  # the actors, which serve one job after another
_local: list[bool] = []  # holds one thing while the Ray that runs was started here


@dataclass
class Bundle:
    """Units under way, and how many workers they have killed."""

    units: list[Unit]
    deaths: int = 0


def start_ray(workers: int, address: str | None) -> None:
    """Start a local Ray, or join the cluster at `address`; do nothing where it runs already.

    One that was started here for fewer workers is started anew, up to the processors of the machine.
    """
    if ray.is_initialized():
        enough = _cpus() >= workers or workers > (os.cpu_count() or 1)
        if address or not _local or enough:
            return
        ray.shutdown()
    _hired.clear()  # actors of a Ray that was shut down
    _local.clear()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address:
        ray.init(address=address, log_to_driver=False)
        return
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=128 * 2**20,  # receipts only
    )
    _local.append(True)


def _cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def receipts(
    job: Job,
    dataset: Dataset,
    bundler: Bundler,
    workers: int,
    threads: int,
    address: str | None,
) -> Iterator[Receipt]:
    """Receipts of all bundles, in the order in which they end."""
    start_ray(workers, address)
    cpus = _cpus()
    if workers > cpus:
        raise ConfigError(
            f"--workers {workers}: Ray has {cpus} CPUs here; ask for at most {cpus}, or join a "
            "larger cluster with --ray-address"
        )
    actors = _hire(workers)
    try:
        _begin(actors, job, dataset, threads)
        yield from _drive(job, dataset, bundler, actors, threads)
        ray.get([a.end.remote() for a in actors])
    except BaseException:
        _dismiss()  # an actor in the middle of something is of no use to the next job
        raise


def _hire(workers: int) -> list[Any]:
    """The actors of the last job where their number fits: their imports are done; else new ones."""
    if len(_hired) != workers:
        _dismiss()
        _hired.extend(_hire_one(workers) for _ in range(workers))
    return _hired


def _hire_one(workers: int) -> Any:
    gpus = ray.cluster_resources().get("GPU", 0.0)  # shared out, so that each worker sees one
    return ray.remote(num_cpus=1, num_gpus=min(1.0, gpus / workers))(Worker).remote()


def _dismiss() -> None:
    while _hired:
        ray.kill(_hired.pop())


def _begin(actors: list[Any], job: Job, dataset: Dataset, threads: int) -> None:
    """A model that cannot be loaded stops the run: there is nothing to do without it."""
    job_ref = ray.put(job)
    files = plugins.carried()
    try:
        if files:
            ray.get([a.receive.remote(files) for a in actors])
        ray.get([a.begin.remote(job_ref, dataset, threads) for a in actors])
    except RayTaskError as error:
        raise error.cause from None  # our own message, without the worker's traceback
    except RayActorError as error:
        raise ModelError(f"a worker could not start; its last output:\n{error}") from error


def _drive(
    job: Job, dataset: Dataset, bundler: Bundler, actors: list[Any], threads: int
) -> Iterator[Receipt]:
    again: deque[Bundle] = deque()
    busy: dict[Any, tuple[int, Bundle]] = {}

    def give_work(slot: int) -> None:
        bundle = again.popleft() if again else Bundle(bundler.next())
        if bundle.units:
            busy[actors[slot].run.remote(bundle.units)] = (slot, bundle)

    for slot in range(len(actors)):
        give_work(slot)
    while busy:
        (done,), _ = ray.wait(list(busy), num_returns=1)
        slot, bundle = busy.pop(done)
        try:
            yield ray.get(done)
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError as death:
            actors[slot] = _hire_one(len(actors))
            _begin([actors[slot]], job, dataset, threads)
            if len(bundle.units) == 1 and bundle.deaths + 1 >= DEATHS_ALLOWED:
                yield _bury(job, dataset, bundle.units, death)
            else:
                again.extend(Bundle([u], bundle.deaths + 1) for u in bundle.units)
        give_work(slot)
        for idle in set(range(len(actors))) - {s for s, _ in busy.values()}:
            if again:
                give_work(idle)


def _bury(job: Job, dataset: Dataset, units: list[Unit], death: Exception) -> Receipt:
    """Error rows for a unit that killed its workers."""
    reason = WorkerDied(f"the worker ended {DEATHS_ALLOWED} times on this file: {death}")
    return commit(dataset, job, units, job.give_up(units[0], reason))
