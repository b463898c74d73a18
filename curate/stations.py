"""The stations as functions: each makes its tables in a dataset folder and says what it did.

What the command line calls, and what a program of yours can call:

    config = Config()
    with Dataset(Path("out")).lock():
        ingest(dataset, Path("music"), config, Call())
        score(dataset, config, Call())
        ...

or `run_all`, which does it in order. The caller holds the dataset's lock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import StoreError
from ..schemas.job import Job
from ..schemas.runner import Summary, run
from ..schemas.store import Dataset
from ..schemas.views import connect
from .config import Config

Say = Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """How a station is called this once. Nothing here changes a row.

    limit: at most so many files (ingest) or clips. dry_run: say what would be done, do nothing.
    retry_errors: forget error rows first. say: takes the lines that are printed.
    """

    limit: int | None = None
    dry_run: bool = False
    retry_errors: bool = False
    quiet: bool = False
    say: Say = print


def ingest(dataset: Dataset, source: Path, config: Config, call: Call) -> Summary:
    """Files become clips (tables `files`, `clips`)."""
    from .ingest import IngestJob

    job = IngestJob(dataset, source, config.ingest, call.limit)
    summary = _work(dataset, job, config, call)
    if job.ignored:
        kinds = ", ".join(f"{n} {kind}" for kind, n in job.ignored.most_common(6))
        call.say(f"ingest: passed over, as not audio: {kinds}")
    return summary


def score(dataset: Dataset, config: Config, call: Call) -> Summary:
    """One decode, all listeners (tables `pmos`, `signal`, `clap`, `tags`, `music`)."""
    from .score import score_job

    _need(dataset, "clips", "ingest")
    job = score_job(dataset, config.score, config.models, call.limit)
    return _work(dataset, job, config, call)


def quantize(dataset: Dataset, config: Config, call: Call) -> Summary:
    """p-MOS becomes levels 1..5 and prefixes (tables `bounds`, `levels`)."""
    from .quantize import empty_levels
    from .quantize import quantize as make

    _need(dataset, "pmos", "score")
    if call.dry_run:
        return _would(dataset, "quantize", "pmos", call)
    summary, bounds = make(dataset, config.quantize)
    for b in bounds:
        share = " ".join(f"{k}:{n:.0f}" for k, n in enumerate(b.level_counts or [], 1))
        call.say(
            f"quantize: {b.grouping} ({b.scheme}, {b.model_id}): n {b.n}, mu {b.mu:.3f},"
            f" sigma {b.sigma:.3f}, skew {b.skew:+.2f}; clips at level {share}"
        )
        if empty := empty_levels(b):
            call.say(f"quantize: no clip at level {', '.join(map(str, empty))}")
    return _report(summary, call)


def refine(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Captions are repaired (table `captions`)."""
    from .refine import RefineJob

    _need(dataset, "clap", "score")
    _need(dataset, "tags", "score")
    return _work(
        dataset, RefineJob(dataset, config.refine, config.models, call.limit), config, call
    )


def filter_clips(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Kept or not, with every reason (table `decisions`)."""
    from .filter import decide

    _need(dataset, "clips", "ingest")
    if call.dry_run:
        return _would(dataset, "filter", "clips", call)
    return _report(decide(dataset, config.filter), call)


def export(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Kept clips become shards with a card (table `shards`)."""
    from .card import write_card
    from .export import ExportJob

    _need(dataset, "decisions", "filter")
    job = ExportJob(dataset, config.export, call.limit)
    summary = _work(dataset, job, config, call)
    if not call.dry_run:
        for out in job.outputs:
            dataset.drop_other_states(out.table, out.fingerprint)
        card = write_card(dataset, job.outputs[0])
        call.say(f"export: shards and card in {card.parent}")
    return summary


def report(dataset: Dataset, config: Config, call: Call) -> Path:
    """One HTML file and the same numbers as JSON."""
    from .report import build_report

    html, _ = build_report(dataset.root)
    call.say(f"report: {html}")
    return html


def run_all(dataset: Dataset, source: Path, config: Config, call: Call) -> None:
    """The whole line, in order. A dry run stops after ingest: the rest depends on its rows."""
    ingest(dataset, source, config, call)
    if call.dry_run:
        return
    rest = Call(None, False, call.retry_errors, call.quiet, call.say)
    score(dataset, config, rest)
    quantize(dataset, config, rest)
    refine(dataset, config, rest)
    filter_clips(dataset, config, rest)
    export(dataset, config, rest)
    report(dataset, config, rest)


def _work(dataset: Dataset, job: Job, config: Config, call: Call) -> Summary:
    if call.retry_errors and not call.dry_run:
        for out in job.outputs:
            if n := dataset.forget_errors(out.table, out.fingerprint):
                call.say(f"{job.name}: {n} error rows of {out.table} are tried again")
    if call.dry_run:
        total = job.total()
        call.say(f"{job.name}: {total} rows to do (dry run: nothing was done)")
        return Summary(job.name, total)
    summary = run(
        job, dataset, config.run.workers, config.run.threads, config.run.ray_address, call.quiet
    )
    _log(dataset, summary)
    return _report(summary, call)


def _report(summary: Summary, call: Call) -> Summary:
    """Print in = ok + error of every table that a station wrote."""
    if not summary.rows:
        call.say(f"{summary.name}: nothing to do")
        return summary
    tables = sorted({table for table, _ in summary.counts})
    parts = []
    for table in tables:
        ok, error = summary.counts[table, "ok"], summary.counts[table, "error"]
        parts.append(f"{table} {ok + error} = {ok} ok + {error} error")
    took = f" in {summary.seconds:.1f} s" if summary.seconds else ""
    call.say(f"{summary.name}: {'; '.join(parts)}{took}")
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


def _would(dataset: Dataset, name: str, table: str, call: Call) -> Summary:
    with connect(dataset) as con:
        (n,) = con.table(table).count("*").fetchall()[0]
    call.say(f"{name}: {n} rows of {table} to read (dry run: nothing was done)")
    return Summary(name, n)


def _need(dataset: Dataset, table: str, station: str) -> None:
    if dataset.current(table) is None:
        raise StoreError(f"{dataset.root} has no table {table}; run `qamdt-curate {station}` first")
    if parent := dataset.stale_parent(table):
        raise StoreError(
            f"table {table} in {dataset.root} is stale: {parent} has changed since; run "
            f"`qamdt-curate {station}` again"
        )
