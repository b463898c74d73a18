"""A station's call: a job is run, resumed or only counted, and what it did is logged in one line."""

from __future__ import annotations

import json
import time
from typing import Any

from ..schemas.call import Call as Call
from ..schemas.call import Log as Log
from .dataset import Dataset
from .job import Job
from .run_config import RunConfig as RunConfig
from .runner import Summary, run


def work(dataset: Dataset, job: Job, where: RunConfig, call: Call) -> Summary:
    """Run what is pending of a job and log what was done. The caller holds the dataset's lock."""
    if call.retry_errors and not call.dry_run:
        for out in job.outputs:
            if n := dataset.forget_errors(out.table, out.fingerprint):
                call.log(f"{job.name}: {n} error rows of {out.table} are tried again")
    if call.dry_run:
        total = job.total()
        call.log(f"{job.name}: {total} rows to do (dry run: nothing was done)")
        return Summary(job.name, total)
    summary = run(job, dataset, where.workers, where.threads, where.ray_address, call.quiet)
    _log(dataset, summary)
    return report_of(summary, call)


def report_of(summary: Summary, call: Call) -> Summary:
    """Print in = ok + error of every table that a station wrote."""
    if not summary.rows:
        call.log(f"{summary.name}: nothing to do")
        return summary
    tables = sorted({table for table, _ in summary.counts})
    parts = []
    for table in tables:
        ok, error = summary.counts[table, "ok"], summary.counts[table, "error"]
        parts.append(f"{table} {ok + error} = {ok} ok + {error} error")
    took = f" in {summary.seconds:.1f} s" if summary.seconds else ""
    call.log(f"{summary.name}: {'; '.join(parts)}{took}")
    return summary


def _log(dataset: Dataset, summary: Summary) -> None:
    """Append what a run did to `runs.jsonl`: read by the report, by nothing else."""
    if not summary.rows:
        return
    line: dict[str, Any] = {
        "station": summary.name,
        "rows": summary.rows,
        "seconds": round(summary.seconds, 3),
        "worker_seconds": round(summary.worker_seconds, 3),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    with open(dataset.root / "runs.jsonl", "a", encoding="utf-8") as f:
        f.write(json.dumps(line) + "\n")
