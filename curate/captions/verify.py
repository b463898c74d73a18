"""The CLAP check: the numbers of `matches` against thresholds, by SQL (table `checks`).

QA-MDT, abstract and section on captions: keep what CLAP confirms, fuse old and new where they differ.
rho1, rho2 and all the rest are published nowhere: the rule is ours. A threshold may be a quantile of
the set: rho1 of similarities of generated captions, rho2 of texts, and that of originals.

    believed        an original that no guard speaks against, written for the audio (not made from
                    file tags), whose similarity, mean over its file, reaches
                    `min_original_similarity` and lies `min_z` deviations above that of
                    strangers' captions
    generated_kept  no guard, and sim(audio, generated) >= rho1
    action  merge   believed and kept, sim(original, generated) < rho2: the LLM may fuse them
            better  believed and kept, they agree: the nearer one
            keep    believed, and there is nothing to add, or it is rich in words already
            take    not believed, or missing: the generated one
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from ...pipeline.dataset import Dataset
from ...pipeline.runner import Summary
from ...pipeline.sql_table import make_table, sql_output
from ...pipeline.views import connect
from ...schemas.settings import params_of
from ...schemas.tables import Check
from ..config import RefineConfig, threshold
from ..ingest.source_captions import WEAK

VERSION = 2
READS = ("clips", "generated", "matches")

_CHECKS = """
WITH rho AS (
  SELECT coalesce($rho1, quantile_cont(sim_generated, $rho1_q)) AS rho1,
         coalesce($rho2, quantile_cont(sim_texts, $rho2_q)) AS rho2,
         coalesce($believe, quantile_cont(sim_original, $believe_q)) AS believe
  FROM matches WHERE status = 'ok'
), measured AS (
  SELECT m.*, c.caption, c.caption_source IS NOT DISTINCT FROM $weak AS weak, g.generated,
         counted(o.guards, o.words, o.tokens) AS original_guards,
         counted(t.guards, t.words, t.tokens) AS generated_guards,
         round(avg((m.sim_original - m.others_mean) / nullif(m.others_deviation, 0)) OVER same, 6)
           AS z_original,
         round(avg(m.sim_original) OVER same, 6) AS file_similarity
  FROM matches m JOIN clips c USING (clip_id) JOIN generated g USING (clip_id)
  LEFT JOIN texts o ON o.text = c.caption LEFT JOIN texts t ON t.text = g.generated
  WINDOW same AS (PARTITION BY c.path, c.caption)
), judged AS (
  SELECT *,
    CASE WHEN caption IS NULL THEN 'missing'
         WHEN caption = '' THEN 'empty'
         WHEN len(original_guards) > 0 THEN original_guards[1]
         WHEN weak THEN 'file tags'
         WHEN file_similarity < believe THEN 'unlike the audio'
         WHEN z_original < $fits THEN 'fits no better than captions of others' END
      AS original_problem,
    CASE WHEN generated IS NULL OR generated = '' THEN 'nothing heard clearly'
         WHEN len(generated_guards) > 0 THEN generated_guards[1]
         WHEN sim_generated < rho1 THEN 'below rho1' END AS generated_problem
  FROM measured, rho
)
SELECT clip_id, status, error_type, error_message,
  CASE WHEN status = 'ok' THEN original_problem IS NULL END AS believed,
  CASE WHEN status = 'ok' THEN original_problem END AS original_problem,
  CASE WHEN status = 'ok' THEN generated_problem IS NULL END AS generated_kept,
  CASE WHEN status = 'ok' THEN generated_problem END AS generated_problem,
  z_original,
  CASE WHEN status <> 'ok' THEN NULL
       WHEN original_problem IS NOT NULL THEN 'take'
       WHEN generated_problem IS NOT NULL THEN 'keep'
       WHEN len(string_split(caption, ' ')) >= $rich_words THEN 'keep'
       WHEN sim_texts >= rho2 THEN 'better'
       ELSE 'merge' END AS action,
  rho1, rho2, believe
FROM judged
"""
# The guards of a text that count under these settings.
_COUNTED = """
CREATE MACRO counted(guards, words, tokens) AS list_filter(
  list_concat(guards, CASE WHEN words > getvariable('max_words') OR tokens > getvariable('max_tokens')
    THEN ['too_long'] ELSE [] END),
  lambda g: g <> 'wrong_language' OR getvariable('english'))
"""


def verify(dataset: Dataset, config: RefineConfig, prefix_tokens: int) -> Summary:
    """Make the table `checks`: a row a clip of `matches`.

    prefix_tokens: of the longest quality prefix, which takes its share of `max_tokens`.
    """
    params = params_of(config, ("min_z", "rich_words")) | {"weak": WEAK}
    thresholds = params_of(config, ("rho1", "rho2", "min_original_similarity"))
    for name, text in thresholds.items():
        value, quantile = threshold(name, text)
        params |= {name: value, f"{name}_q": 0.0 if quantile is None else quantile}
    limits = limits_of(config, prefix_tokens)
    out = sql_output(dataset, Check, VERSION, {**params, **limits}, READS, ("texts",))
    with connect(dataset) as con:
        define_counted(con, limits)
        return make_table(dataset, out, con, _CHECKS, params)


def limits_of(config: RefineConfig, prefix_tokens: int) -> dict[str, Any]:
    """What decides which of the guards of a text count."""
    return {
        "max_words": config.max_words,
        "max_tokens": config.max_tokens - prefix_tokens,
        "english": config.language == "en",
    }


def define_counted(con: duckdb.DuckDBPyConnection, limits: Mapping[str, Any]) -> None:
    """Give a connection the macro `counted(guards, words, tokens)`: those that count."""
    for name, value in limits.items():
        con.execute(f"SET VARIABLE {name} = $value", {"value": value})
    con.execute(_COUNTED)
