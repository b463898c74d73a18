"""The bench: a curated demo set against its truth file, as figures with 95% intervals.

    demo_pmos_auc              p-MOS of clean clips above that of degraded ones
    demo_pmos_auc_<defect>     the same, for one kind of damage
    demo_pmos_pairs            pieces whose clean passage scores above their degraded one
    demo_clap_auc              similarity of audio and given caption: right ones above wrong ones
    demo_<state>_replaced      right, wrong, empty or garbled captions that a generated one replaced
    demo_duplicate_recall      copies that were recognised; _precision: claims that were copies
    demo_broken_recall         broken files that were reported; _precision: likewise
    demo_silence_recall        silent files of which every clip was dropped as silent

A station that has not run yields no figure. Nothing here looks at audio or at names of files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ...pipeline.views import connect
from ...reports.statistics import Estimate, share
from ...schemas.errors import ConfigError
from .statistics import auc_by_group

COMMAND = "qamdt-curate bench DIR --truth TRUTH"
TRUTH = pa.schema(
    [
        ("path", pa.string()),
        ("piece", pa.string()),
        ("passage", pa.int64()),
        ("defect", pa.string()),
        ("is_degraded", pa.bool_()),
        ("caption_state", pa.string()),
        ("copy_of", pa.string()),
        ("broken", pa.bool_()),
    ]
)
Found = Iterator[tuple[str, Estimate, str]]  # name, estimate, unit

# Every clip that a station works on, with its truth.
HEARD = """
CREATE TEMP TABLE heard AS
SELECT t.*, c.start_s, c.pmos, c.sim_original, c.caption_from, c.drop_reasons,
       len(c.errors) > 0 AS failed
FROM clips_full c JOIN truth t USING (path) WHERE c.skip IS NULL
"""
# Rendered pieces, each moment once: a copy may stand for what it copies.
MOMENTS = """
CREATE TEMP VIEW moments AS SELECT * FROM heard WHERE piece IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY piece, passage, start_s ORDER BY path) = 1
"""
# Files of which every clip was dropped for one reason.
DROPPED = """
CREATE TEMP VIEW dropped AS
SELECT path, reason
FROM (SELECT path, unnest(drop_reasons) AS reason FROM heard)
JOIN (SELECT path, count(*) AS clips FROM heard GROUP BY path) USING (path)
GROUP BY path, reason HAVING count(*) = any_value(clips)
"""


def bench(dataset: Path, truth: Path | None = None) -> dict[str, dict[str, Any]]:
    """Figures `{name: {value, low, high, n, unit, command}}` of a finished dataset folder.

    truth: the demo's truth.jsonl; None takes the one beside the manifest that was ingested.
    Raises ConfigError when there is none, or when it speaks of other files.
    """
    with connect(dataset) as con:
        con.register("truth_file", read_truth(truth or _truth_beside(con)))
        con.execute(
            "CREATE TEMP TABLE truth AS SELECT * FROM truth_file SEMI JOIN files USING (path)"
        )
        if _count(con, "SELECT count(*) FROM truth") == 0:
            raise ConfigError(f"the truth file names none of the files of {dataset}; see --truth")
        for statement in (HEARD, MOMENTS, DROPPED):
            con.execute(statement)
        return {
            name: {**asdict(estimate), "unit": unit, "command": COMMAND}
            for part in (_pmos, _captions, _duplicates, _broken, _silence)
            for name, estimate, unit in part(con)
        }


def read_truth(path: Path) -> pa.Table:
    """The truth file, a row a file, with absolute paths. Raises ConfigError when it is none."""
    base = Path(path).absolute().parent
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        rows = [{name: row[name] for name in TRUTH.names} for row in map(json.loads, lines)]
        for row in rows:
            row["path"] = _absolute(base, row["path"])
            row["copy_of"] = row["copy_of"] and _absolute(base, row["copy_of"])
        return pa.Table.from_pylist(rows, schema=TRUTH)
    except KeyError as error:
        raise ConfigError(f"{path} is no truth file: a row has no {error}") from error
    except (OSError, ValueError, TypeError, pa.ArrowInvalid) as error:
        raise ConfigError(f"{path} is no truth file (JSON lines): {error}") from error


def _absolute(base: Path, path: str) -> str:
    return os.path.abspath(base / path)


def _truth_beside(con: duckdb.DuckDBPyConnection) -> Path:
    """truth.jsonl beside the manifest, or in the folder, that was ingested."""
    for (root,) in con.execute("SELECT DISTINCT root FROM files").fetchall():
        for folder in (Path(root).parent, Path(root)):
            if (folder / "truth.jsonl").is_file():
                return folder / "truth.jsonl"
    raise ConfigError("no truth.jsonl beside what was ingested; name it with --truth")


def _pmos(con: duckdb.DuckDBPyConnection) -> Found:
    """Does the score tell clean from degraded: over all, by defect, within a piece?"""
    t = con.execute(
        "SELECT pmos AS score, piece, defect, is_degraded FROM moments WHERE pmos IS NOT NULL"
        " ORDER BY piece, passage, start_s"
    ).fetchnumpy()
    clean, bad = ~t["is_degraded"].astype(bool), t["is_degraded"].astype(bool)
    if not clean.any() or not bad.any():
        return
    yield "demo_pmos_auc", _auc(t, clean, bad), "AUC over clips"
    for defect in sorted(set(t["defect"][bad])):
        part = bad & (t["defect"] == defect)
        yield f"demo_pmos_auc_{defect}", _auc(t, clean, part), "AUC over clips"
    pairs = con.execute(
        "SELECT avg(pmos) FILTER (NOT is_degraded) AS clean, avg(pmos) FILTER (is_degraded) AS bad"
        " FROM moments GROUP BY piece HAVING clean IS NOT NULL AND bad IS NOT NULL"
    ).fetchall()
    if pairs:
        right = sum(clean > bad for clean, bad in pairs)
        yield "demo_pmos_pairs", share(right, len(pairs)), "share of pieces"


def _captions(con: duckdb.DuckDBPyConnection) -> Found:
    """Does the similarity tell right captions from wrong, and which captions were replaced?"""
    t = con.execute(
        "SELECT sim_original AS score, piece, caption_state FROM moments"
        " WHERE sim_original IS NOT NULL ORDER BY piece, passage, start_s"
    ).fetchnumpy()
    right, wrong = t["caption_state"] == "right", t["caption_state"] == "wrong"
    if right.any() and wrong.any():
        yield "demo_clap_auc", _auc(t, right, wrong), "AUC over clips"
    replaced = con.execute(
        "SELECT caption_state, count_if(caption_from = 'generated'), count(*) FROM moments"
        " WHERE caption_from IS NOT NULL GROUP BY caption_state ORDER BY caption_state"
    ).fetchall()
    for state, hits, n in replaced:
        yield f"demo_{state}_replaced", share(hits, n), "share of clips"


def _duplicates(con: duckdb.DuckDBPyConnection) -> Found:
    """Were copies seen, as the same bytes at ingest or as the same samples by the filter?

    Which of the two is kept is the curator's choice, so a pair counts whichever way it was seen.
    """
    same = con.execute("SELECT DISTINCT path, duplicate_of FROM duplicates").fetchall()
    alone = con.execute("SELECT path FROM dropped WHERE reason = 'duplicate_audio'").fetchall()
    planted = con.execute("SELECT path, copy_of FROM truth WHERE copy_of IS NOT NULL").fetchall()
    pairs, claims = set(map(frozenset, planted)), set(map(frozenset, same + alone))
    if pairs:
        seen = sum(any(claim <= pair for claim in claims) for pair in pairs)
        yield "demo_duplicate_recall", share(seen, len(pairs)), "share of copies"
    if claims:
        true = sum(any(claim <= pair for pair in pairs) for claim in claims)
        yield "demo_duplicate_precision", share(true, len(claims)), "share of claims"


def _broken(con: duckdb.DuckDBPyConnection) -> Found:
    """Were broken files reported, at ingest or when a clip was decoded, and only those?"""
    both, broken, reported = con.execute(
        "SELECT count_if(broken AND reported), count_if(broken), count_if(reported) FROM ("
        "  SELECT broken, status = 'error' OR path IN (SELECT path FROM heard WHERE failed)"
        "    AS reported FROM truth JOIN files USING (path))"
    ).fetchall()[0]
    if broken:
        yield "demo_broken_recall", share(both, broken), "share of broken files"
    if reported:
        yield "demo_broken_precision", share(both, reported), "share of reported files"


def _silence(con: duckdb.DuckDBPyConnection) -> Found:
    """Were silent files dropped as silent?"""
    silent = _count(con, "SELECT count(*) FROM truth WHERE defect = 'silence'")
    if silent and _count(con, "SELECT count(drop_reasons) FROM heard"):
        hits = _count(
            con,
            "SELECT count(*) FROM dropped JOIN truth USING (path)"
            " WHERE reason = 'silent' AND defect = 'silence'",
        )
        yield "demo_silence_recall", share(hits, silent), "share of silent files"


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(con.execute(sql).fetchall()[0][0])


def _auc(table: dict[str, Any], above: np.ndarray, below: np.ndarray) -> Estimate:
    """AUC of `score` between two selections of a table, with an interval over its pieces."""
    score, piece = np.asarray(table["score"], np.float64), np.asarray(table["piece"], str)
    return auc_by_group(score[above], score[below], piece[above], piece[below])
