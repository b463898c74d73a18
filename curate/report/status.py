"""The state of a dataset folder as plain data: funnel, tables, paths. `status --json` prints it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...pipeline.dataset import Dataset
from .funnel import funnel


def status_of(dataset: Dataset) -> dict[str, Any]:
    """What is in a dataset folder, as JSON takes it. Raises StoreError where there is none.

    funnel: see Funnel; `reasons` and `tables` are objects of named numbers. tables: every table that
    was ever made, with `rows` of its current state; `stale` names the table that has changed since.
    paths: what can be opened, of what is there.
    """
    counts = funnel(dataset)
    plain = asdict(counts)
    plain["tables"] = {
        name: {"rows": rows, "ok": ok, "error": error}
        for name, (rows, ok, error) in counts.tables.items()
    }
    plain["reasons"] = {
        reason: {"clips": clips, "alone": alone, "hours": hours}
        for reason, (clips, alone, hours) in counts.reasons.items()
    }
    plain["levels"] = {str(level): clips for level, clips in counts.levels.items()}
    return {
        "folder": str(dataset.root),
        "funnel": plain,
        "tables": [_table(dataset, name) for name in dataset.tables()],
        "paths": {name: str(path) for name, path in paths_of(dataset).items()},
    }


def paths_of(dataset: Dataset) -> dict[str, Path]:
    """What a dataset folder has to open: report, report.json, shards, card, logs."""
    paths = {
        "report": dataset.root / "report.html",
        "report_json": dataset.root / "report.json",
        "logs": dataset.root / "logs",
    }
    if shards := dataset.current("shards"):
        folder = dataset.folder("shards", shards.fingerprint)
        paths |= {"shards": folder, "card": folder / "README.md"}
    return {name: path for name, path in paths.items() if path.exists()}


def _table(dataset: Dataset, name: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    state, stale = dataset.current(name), dataset.stale_parent(name)
    parts = dataset.parts(name, state.fingerprint) if state else []
    return {
        "name": name,
        "fingerprint": state.fingerprint if state else None,
        "fresh": stale is None,
        "stale": stale,
        "model": (state.about.get("model_id") if state else None) or None,
        "rows": sum(pq.read_metadata(part).num_rows for part in parts),
    }
