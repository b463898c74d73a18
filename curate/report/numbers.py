"""The numbers of the report: everything that report.json holds, read from the views by SQL.

A table that was never made, or is stale, is an empty view: its numbers are absent (None or an empty
list), and `tables` says why.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import duckdb

from ...pipeline.dataset import Dataset
from ...pipeline.views import connect, one_row, plugin_tables, tables_of
from ...schemas.arrow import declaration_of, name_of
from ...schemas.version import __version__
from . import captions
from .counts import histogram, list_rows, span
from .funnel import funnel
from .plugin_columns import columns_of
from .reasons import meaning_of

PLAYED = 6  # clips at each end of the p-MOS scale
EXAMPLES = 10  # captions, and files per class of error
# role -> (table, column with the model's own name, column with its weights or None)
ROLES = {
    "p-MOS": ("pmos", "model_id", "weights"),
    "audio embedding": ("clap", "model_id", "weights"),
    "tags": ("tags", "model_id", "weights"),
    "audio-text similarity": ("captions", "match_model", None),
    "generated captions": ("generated", "model_id", "weights"),
    "caption merge": ("captions", "llm_model", None),
}
MEASURED = {
    "silence_ratio": "0..1", "rms_dbfs": "dBFS", "true_peak_dbtp": "dBTP", "clipping_ratio": "0..1",
    "loudness_lufs": "LUFS", "bandwidth_hz": "Hz", "stereo_correlation": "-1..1",
}  # fmt: skip
Numbers = dict[str, Any]


def numbers(dataset: Dataset) -> Numbers:
    """All numbers of a dataset folder. Raises StoreError where no table was ever made."""
    with connect(dataset) as con:
        results: Numbers = {
            "dataset": dataset.root.resolve().name,
            "qamdt": __version__,
            "tables": _tables(dataset, con),
            "models": _models(con),
            "funnel": {**asdict(funnel(dataset)), **_windows(con)},
            "drop_reasons": _reasons(dataset, con),
            "pmos": _pmos(con),
            "levels": _levels(con),
            "similarity": captions.similarity(con),
            "captions": captions.captions(con),
            "signal": _signal(con),
            "plugins": [c for cls in plugin_tables(dataset) for c in columns_of(con, cls)],
            "clips": _ends(con),
            "errors": _errors(dataset, con),
            "throughput": _throughput(dataset, con),
        }
    plain: Numbers = _plain(results)
    return plain


def station_of(dataset: Dataset) -> dict[str, str]:
    """table -> the command of `qamdt-curate` that makes it."""
    classes = (cls for cls in tables_of(dataset) if declaration_of(cls).station != "latents")
    return {name_of(cls): declaration_of(cls).station for cls in classes}


def _plain(value: Any) -> Any:
    """The same for JSON: no NaN or infinity, and no digits that depend on the order of a sum."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value


def _tables(dataset: Dataset, con: duckdb.DuckDBPyConnection) -> Numbers:
    """Per table: its rows and how it was made, or in a sentence why it is not shown."""
    states: Numbers = {}
    for table, station in station_of(dataset).items():
        state, parent = dataset.current(table), dataset.stale_parent(table)
        (rows,) = one_row(con, f'SELECT count(*) FROM "{table}"')  # noqa: S608 - a name of ours
        missing = None
        if state is None:
            missing = f"not made yet: run `qamdt-curate {station}`"
        elif parent is not None:
            missing = f"out of date, {parent} has changed since: run `qamdt-curate {station}` again"
        elif rows == 0:
            missing = f"made by `qamdt-curate {station}`, and empty"
        about = state.about if state else {}
        params = {k: v for k, v in about.get("params", {}).items() if k != "parts_read"}
        states[table] = {
            "rows": rows,
            "missing": missing,
            "fingerprint": state.fingerprint if state else None,
            "params": params,
        }
    return states


def _models(con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    """Every model that made rows, by its own name; an embedded one never goes by another's."""
    return [
        {"role": role, **row}
        for role, (table, name, weights) in ROLES.items()
        for row in list_rows(
            con,
            f"SELECT {name} AS model, {weights or 'NULL'} AS weights, count(*) AS rows"  # noqa: S608
            f" FROM {table} WHERE {name} IS NOT NULL GROUP BY ALL ORDER BY 3 DESC, 1",
        )
    ]


def _windows(con: duckdb.DuckDBPyConnection) -> Numbers:
    """Hours on the way: windows found, distinct ones, those without an error, those kept."""
    (hours_found, hours_files) = one_row(
        con,
        "SELECT (SELECT coalesce(sum(duration_s), 0) / 3600 FROM clips_found),"
        " (SELECT coalesce(sum(duration_s), 0) / 3600 FROM files WHERE status = 'ok')",
    )
    (judged, sound, sound_hours) = one_row(
        con,
        "SELECT count(*), count_if(not bad), coalesce(sum(duration_s) FILTER (not bad), 0) / 3600"
        " FROM (SELECT duration_s, list_contains(drop_reasons, 'error') AS bad"
        " FROM decisions JOIN clips USING (clip_id))",
    )
    return {
        "hours_files": hours_files, "hours_found": hours_found,
        "judged": judged, "sound": sound, "sound_hours": sound_hours,
    }  # fmt: skip


def _reasons(dataset: Dataset, con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    state = dataset.current("decisions")
    params = state.about.get("params", {}) if state else {}
    rows = list_rows(
        con,
        "SELECT reason, count(*) AS clips, count_if(n = 1) AS clips_only,"
        " sum(duration_s) / 3600 AS hours,"
        " coalesce(sum(duration_s) FILTER (n = 1), 0) / 3600 AS hours_only FROM ("
        " SELECT unnest(drop_reasons) AS reason, len(drop_reasons) AS n, duration_s"
        " FROM decisions JOIN clips USING (clip_id)) GROUP BY reason ORDER BY 2 DESC, 1",
    )
    for row in rows:
        row |= meaning_of(row["reason"], params)
    return rows


def _pmos(con: duckdb.DuckDBPyConnection) -> Numbers | None:
    n, low, high = one_row(con, "SELECT count(pmos), min(pmos), max(pmos) FROM pmos")
    if n == 0:
        return None
    low, high = span(low, high)
    groups = list_rows(con, "SELECT * EXCLUDE (level_counts) FROM bounds ORDER BY grouping")
    return {
        "n": n, "low": low, "high": high, "counts": histogram(con, "pmos", "pmos", low, high),
        "groups": groups,
    }  # fmt: skip


def _levels(con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    """A row for each of the levels 1..5, empty ones too; nothing where none was made."""
    rows = list_rows(
        con,
        "SELECT quality_level AS level, count(*) AS clips, sum(duration_s) / 3600 AS hours,"
        " count_if(kept) AS kept FROM levels JOIN clips USING (clip_id)"
        " LEFT JOIN (SELECT clip_id, kept FROM decisions) USING (clip_id)"
        " WHERE quality_level IS NOT NULL GROUP BY 1",
    )
    by_level = {row["level"]: row for row in rows}
    none = {"clips": 0, "hours": 0.0, "kept": 0}
    return [by_level.get(level, {"level": level, **none}) for level in range(1, 6)] if rows else []


def _signal(con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    """The spread of each measurement: 5th, 50th and 95th percentile."""
    rows = []
    for name, unit in MEASURED.items():
        n, spread = one_row(
            con,
            f"SELECT count({name}), quantile_cont({name}, [0.05, 0.5, 0.95]) FROM signal",  # noqa: S608
        )
        if n:
            rows.append(
                {"name": name, "unit": unit, "n": n, "p5": spread[0], "p50": spread[1]}
                | {"p95": spread[2]}
            )
    return rows


def _ends(con: duckdb.DuckDBPyConnection) -> Numbers:
    """The clips of highest and lowest p-MOS, at most one a file and none on both sides."""
    (n,) = one_row(con, "SELECT count(DISTINCT path) FROM clips_full WHERE pmos IS NOT NULL")
    best, worst = min(PLAYED, (n + 1) // 2), min(PLAYED, n // 2)
    sql = (
        "SELECT clip_id, path, start_s, duration_s, pmos, quality_level, kept, drop_reasons,"
        " caption AS original, refined_caption AS final, caption_from AS origin,"
        " f.size_bytes, f.mtime_ns FROM clips_full JOIN (SELECT path, size_bytes, mtime_ns"
        " FROM files) f USING (path) WHERE pmos IS NOT NULL"
        " QUALIFY row_number() OVER (PARTITION BY path ORDER BY pmos {order}, clip_id) = 1"
        " ORDER BY pmos {order}, clip_id LIMIT $most"
    )
    return {
        "best": list_rows(con, sql.format(order="DESC"), {"most": best}),
        "worst": list_rows(con, sql.format(order="ASC"), {"most": worst}),
    }


def _errors(dataset: Dataset, con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    """By class: how many files or clips, which tables miss their row, and examples."""
    counted = {name_of(c) for c in tables_of(dataset) if declaration_of(c).in_funnel} - {"files"}
    by_clip = " UNION ALL ".join(
        f"SELECT '{table}' AS of_table, c.path, c.start_s, t.error_type, t.error_message"  # noqa: S608
        f" FROM \"{table}\" t JOIN clips c USING (clip_id) WHERE t.status = 'error'"
        for table in map(name_of, tables_of(dataset))
        if table in counted
    )
    return list_rows(
        con,
        "SELECT error_type AS class, count(*) AS items,"  # noqa: S608
        " list_sort(list_distinct(flatten(list(tables)))) AS tables,"
        " list({'path': path, 'start_s': start_s, 'message': message}"
        "  ORDER BY path, start_s)[:$most] AS examples FROM ("
        "  SELECT error_type, path, start_s, list(of_table) AS tables, min(error_message) AS message"
        "  FROM (SELECT 'files' AS of_table, path, NULL::DOUBLE AS start_s, error_type, error_message"
        f"  FROM files WHERE status = 'error' UNION ALL {by_clip})"
        "  GROUP BY error_type, path, start_s) GROUP BY 1 ORDER BY 2 DESC, 1",
        {"most": EXAMPLES},
    )


def _throughput(dataset: Dataset, con: duckdb.DuckDBPyConnection) -> list[Numbers]:
    """What the runs logged, by station. `times_real_time`: audio worked on per second of the run."""
    (mean_s,) = one_row(con, "SELECT avg(duration_s) FROM clips WHERE skip IS NULL")
    log = dataset.root / "runs.jsonl"
    stations: dict[str, Numbers] = {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            run = json.loads(line)
        except ValueError:  # the half line of a run that was killed while it wrote
            continue
        none = {"station": run["station"], "runs": 0, "rows": 0, "seconds": 0.0}
        station = stations.setdefault(run["station"], none)
        station["runs"] += 1
        station["rows"] += run["rows"]
        station["seconds"] += run["seconds"]
    for station in stations.values():
        seconds = station["seconds"]
        station["rows_per_s"] = station["rows"] / seconds if seconds else None
        of_audio = station["station"] == "score" and seconds and mean_s
        station["times_real_time"] = station["rows"] * mean_s / seconds if of_audio else None
    return list(stations.values())
