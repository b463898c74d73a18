"""The numbers of the report about captions: similarity, origins, reasons, guards, examples."""

from __future__ import annotations

from typing import Any

import duckdb

from ...pipeline.views import one_row
from .counts import histogram, list_rows, span

EXAMPLES = 10


def similarity(con: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    """Audio-text similarity of original and final captions, where both were measured."""
    both = "captions WHERE sim_original IS NOT NULL AND sim_final IS NOT NULL"
    row = list_rows(
        con,
        "SELECT count(*) AS n, avg(sim_original) AS mean_before, avg(sim_final) AS mean_after,"  # noqa: S608
        " median(sim_original) AS median_before, median(sim_final) AS median_after,"
        " count_if(sim_final > sim_original) AS rose, count_if(sim_final < sim_original) AS fell,"
        " min(least(sim_original, sim_final)) AS low,"
        f" max(greatest(sim_original, sim_final)) AS high FROM {both}",
    )[0]
    if row["n"] == 0:
        return None
    low, high = span(row["low"], row["high"])
    return row | {
        "low": low,
        "high": high,
        "before": histogram(con, both, "sim_original", low, high),
        "after": histogram(con, both, "sim_final", low, high),
    }


def captions(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Where final captions came from, and examples: each origin and reason in turn, kept first."""
    came_from = list_rows(
        con,
        "SELECT coalesce(caption_from, 'none') AS origin, count(*) AS clips FROM captions"
        " WHERE status = 'ok' GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    examples = list_rows(
        con,
        "SELECT path, start_s, duration_s, caption AS original, refined_caption AS final,"
        " caption_from AS origin, caption_reason AS reason, sim_original, sim_final, kept"
        " FROM clips_full WHERE refined_caption IS NOT NULL AND caption_from IS NOT NULL"
        " QUALIFY row_number() OVER ("
        "  PARTITION BY caption_from, caption_reason ORDER BY kept DESC NULLS LAST, clip_id) <= 3"
        " ORDER BY row_number() OVER ("
        "  PARTITION BY caption_from, caption_reason ORDER BY kept DESC NULLS LAST, clip_id),"
        " caption_from DESC, caption_reason LIMIT $most",
        {"most": EXAMPLES},
    )
    measured, mean = one_row(con, "SELECT count(sim_final), avg(sim_final) FROM captions")
    texts, shared = one_row(
        con,
        "SELECT count(*), count_if(files > 1) FROM (SELECT count(DISTINCT path) AS files"
        " FROM captions JOIN clips USING (clip_id) WHERE refined_caption IS NOT NULL"
        " GROUP BY lower(refined_caption))",
    )
    return {
        "guards": _guards(con), "reasons": _reasons_of_captions(con),
        "texts": texts, "shared": shared,
        "came_from": came_from, "examples": examples,
        "measured": measured, "mean_similarity": mean,
    }  # fmt: skip


def _guards(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """How many texts each guard refused: a row a guard, a column a kind of text."""
    return list_rows(
        con,
        "SELECT split_part(guard, ': ', 2) AS guard,"
        " count_if(starts_with(guard, 'original: ')) AS original,"
        " count_if(starts_with(guard, 'generated: ')) AS generated,"
        " count_if(starts_with(guard, 'merged: ')) AS merged,"
        " count_if(starts_with(guard, 'answer: ')) AS answer"
        " FROM (SELECT unnest(guards) AS guard FROM captions) GROUP BY 1 ORDER BY count(*) DESC, 1",
    )


def _reasons_of_captions(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Why each final caption is what it is, with counts and the mean change of similarity."""
    return list_rows(
        con,
        "SELECT coalesce(caption_from, 'none') AS origin, caption_reason AS reason,"
        " caption_doubt AS doubt, count(*) AS clips, avg(sim_final - sim_original) AS gain"
        " FROM captions WHERE status = 'ok' GROUP BY ALL ORDER BY clips DESC, origin, reason",
    )
