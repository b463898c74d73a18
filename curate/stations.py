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

from dataclasses import replace
from pathlib import Path

from ..pipeline.dataset import Dataset
from ..pipeline.runner import Summary
from ..pipeline.stage import Call, report_of, work
from ..pipeline.views import connect
from ..schemas.errors import StoreError
from .config import Config
from .roles import OF_LISTENER, ROLES, check_models


def ingest(dataset: Dataset, source: Path, config: Config, call: Call) -> Summary:
    """Files become clips (tables `files`, `clips`)."""
    from .ingest.ingest import IngestJob

    job = IngestJob(dataset, source, config.ingest, call.limit)
    summary = work(dataset, job, config.run, call)
    if job.ignored:
        kinds = ", ".join(f"{n} {kind}" for kind, n in job.ignored.most_common(6))
        call.log(f"ingest: passed over, as not audio: {kinds}")
    return summary


def score(dataset: Dataset, config: Config, call: Call) -> Summary:
    """One decode, all listeners (tables `pmos`, `signal`, `clap`, `tags`, `music`, those of plug-ins)."""
    from .quality.score import score_job

    _need(dataset, "clips", "ingest")
    check_models(config.models, _score_roles(config))
    job = score_job(dataset, config.score, config.models, call.limit)
    return work(dataset, job, config.run, call)


def quantize(dataset: Dataset, config: Config, call: Call) -> Summary:
    """p-MOS becomes levels 1..5 and prefixes (tables `bounds`, `levels`)."""
    from .quality.quantize import empty_levels
    from .quality.quantize import quantize as make

    _need(dataset, "pmos", "score")
    if call.dry_run:
        return _would(dataset, "quantize", "pmos", call)
    summary, bounds = make(dataset, config.quantize)
    for b in bounds:
        share = " ".join(f"{k}:{n:.0f}" for k, n in enumerate(b.level_counts or [], 1))
        call.log(
            f"quantize: {b.grouping} ({b.scheme}, {b.model_id}): n {b.n}, mu {b.mu:.3f},"
            f" sigma {b.sigma:.3f}, skew {b.skew:+.2f}; clips at level {share}"
        )
        if empty := empty_levels(b):
            call.log(f"quantize: no clip at level {', '.join(map(str, empty))}")
    return report_of(summary, call)


def caption(dataset: Dataset, config: Config, call: Call) -> Summary:
    """What is heard becomes facts, and a generated caption (tables `facts`, `generated`)."""
    from .captions.captioners import caption_job
    from .captions.facts_job import FactsJob

    _need(dataset, "clap", "score")
    _need(dataset, "tags", "score")
    check_models(config.models, ("tagger", "captioner"))
    facts = FactsJob(dataset, config.caption, config.models, call.limit)
    summary = work(dataset, facts, config.run, call)
    if call.dry_run:
        return summary
    job = caption_job(dataset, config.caption, config.models, call.limit)
    return work(dataset, job, config.run, call)


def refine(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Captions are repaired (tables `texts`, `matches`, `checks`, `answers`, `captions`).

    What was generated must be there: `caption` makes it.
    """
    from .captions.merge import MergeJob
    from .captions.refine import RefineJob
    from .captions.similarity import MatchJob
    from .captions.text_embeddings import TextsJob
    from .captions.verify import verify
    from .guards.tokens import PREFIX, counter

    if call.dry_run:
        return _would(dataset, "refine", "clips", call)
    _need(dataset, "generated", "caption")
    check_models(config.models, ("match", "llm"))
    quiet = replace(call, log=lambda line: None)  # of inner tables only what was retried is told
    refine_config, models = config.refine, config.models
    prefix_tokens = counter(refine_config.t5).count([PREFIX])[0]
    work(dataset, TextsJob(dataset, refine_config, models), config.run, quiet)
    work(dataset, MatchJob(dataset), config.run, quiet)
    verify(dataset, refine_config, prefix_tokens)
    if models.llm != "none":
        work(dataset, MergeJob(dataset, refine_config, models, call.limit), config.run, call)
        work(dataset, TextsJob(dataset, refine_config, models), config.run, quiet)
    job = RefineJob(dataset, refine_config, models, prefix_tokens, call.limit)
    summary = work(dataset, job, config.run, call)
    for out in job.outputs:  # made of the whole set: what it supersedes costs nothing to make again
        dataset.drop_other_states(out.table, out.fingerprint)
    return summary


def filter_clips(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Kept or not, with every reason (table `decisions`)."""
    from .plugin import filter_rules
    from .quality.filter import decide, unmatched, without_licence
    from .report.funnel import funnel

    _need(dataset, "clips", "ingest")
    if call.dry_run:
        return _would(dataset, "filter", "clips", call)
    summary = report_of(decide(dataset, config.filter, filter_rules()), call)
    if config.filter.exclude and (lines := unmatched(dataset, config.filter)):
        call.log(f"filter: {len(lines)} lines of --exclude name no clip, as {lines[0]!r}")
    if config.filter.licences and (unknown := without_licence(dataset)):
        call.log(f"filter: the licence of {unknown} clips is not known; they are dropped")
    counts = funnel(dataset)
    call.log(
        f"filter: kept {counts.kept} of {counts.clips} clips, {counts.kept_hours:.2f} of"
        f" {counts.hours:.2f} h"
    )
    for reason, (clips, alone, hours) in counts.reasons.items():
        call.log(f"  {reason:18} {clips:8} clips  {alone:8} for this alone  {hours:8.2f} h")
    return summary


def export(dataset: Dataset, config: Config, call: Call) -> Summary:
    """Kept clips become shards with a card (table `shards`)."""
    from .export.card import write_card
    from .export.shards import ExportJob

    _need(dataset, "decisions", "filter")
    job = ExportJob(dataset, config.export, call.limit)
    summary = work(dataset, job, config.run, call)
    if not call.dry_run:
        for out in job.outputs:
            dataset.drop_other_states(out.table, out.fingerprint)
        card = write_card(dataset, job.outputs[0])
        call.log(f"export: shards and card in {card.parent}")
    return summary


def report(dataset: Dataset, config: Config, call: Call) -> Path:
    """One HTML file and the same numbers as JSON."""
    from .report.page import build_report

    html, _ = build_report(dataset.root)
    call.log(f"report: {html}")
    return html


def run_all(dataset: Dataset, source: Path, config: Config, call: Call) -> None:
    """The whole line, in order. A dry run stops after ingest: the rest depends on its rows.

    Models that cannot be used are refused before the first station.
    """
    used = {*_score_roles(config), "tagger", "captioner", "match", "llm"}
    check_models(config.models, [role for role in ROLES if role in used])
    ingest(dataset, source, config, call)
    if call.dry_run:
        return
    rest = Call(None, False, call.retry_errors, call.quiet, call.log)
    score(dataset, config, rest)
    quantize(dataset, config, rest)
    caption(dataset, config, rest)
    refine(dataset, config, rest)
    filter_clips(dataset, config, rest)
    export(dataset, config, rest)
    report(dataset, config, rest)


def _score_roles(config: Config) -> list[str]:
    """The roles of models that the listeners of these settings use."""
    only = config.score.only or tuple(OF_LISTENER)  # where none is named, all listen
    return [role for listener, role in OF_LISTENER.items() if listener in only]


def _would(dataset: Dataset, name: str, table: str, call: Call) -> Summary:
    with connect(dataset) as con:
        (n,) = con.table(table).count("*").fetchall()[0]
    call.log(f"{name}: {n} rows of {table} to read (dry run: nothing was done)")
    return Summary(name, n)


def _need(dataset: Dataset, table: str, station: str) -> None:
    if dataset.current(table) is None:
        raise StoreError(f"{dataset.root} has no table {table}; run `qamdt-curate {station}` first")
    if parent := dataset.stale_parent(table):
        raise StoreError(
            f"table {table} in {dataset.root} is stale: {parent} has changed since; run "
            f"`qamdt-curate {station}` again"
        )
