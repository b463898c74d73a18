"""Filter: kept or not, by SQL over stored numbers; every reason against a clip is listed.

    error            some station could not make its row of the clip
    short_tail       the rest of a file, shorter than the shortest tail kept
    too_short        a file shorter than the shortest tail kept
    silent           too large a share of silent frames
    too_quiet        RMS below the floor
    clipped          too large a share of clipped samples
    narrow_band      bandwidth below the floor
    low_pmos         p-MOS below the floor
    low_level        quality level below the floor
    duplicate_audio  the same samples as another clip, in another container or with other tags
    no_caption       no caption at the end of refinement
    mismatch         similarity of audio and final caption below the floor
    doubtful_caption the final caption does not fit, yet is the nearest there was

A comparison with a missing number is false: a clip is never dropped for what was not measured.
"""

from __future__ import annotations

from dataclasses import asdict

from ...pipeline.dataset import Dataset
from ...pipeline.runner import Summary
from ...pipeline.sql_table import make_table, sql_output
from ...pipeline.views import connect
from ...schemas.tables import Decision
from ..config import FilterConfig

VERSION = 2
READS = ["clips", "files", "pmos", "signal", "clap", "tags", "music", "levels", "captions"]

_DECISIONS = """
WITH judged AS (
  SELECT c.clip_id, list_filter([
    CASE WHEN len(c.errors) > 0 THEN 'error' END,
    c.skip,
    CASE WHEN c.silence_ratio > $max_silence THEN 'silent' END,
    CASE WHEN c.rms_dbfs < $min_rms_dbfs THEN 'too_quiet' END,
    CASE WHEN c.clipping_ratio > $max_clipping THEN 'clipped' END,
    CASE WHEN c.bandwidth_hz < $min_bandwidth_hz THEN 'narrow_band' END,
    CASE WHEN c.pmos < $min_pmos THEN 'low_pmos' END,
    CASE WHEN c.quality_level < $min_level THEN 'low_level' END,
    CASE WHEN $dedup_audio AND t.rank > 1 THEN 'duplicate_audio' END,
    CASE WHEN $need_caption AND c.refined_caption IS NULL AND c.skip IS NULL THEN 'no_caption' END,
    CASE WHEN c.sim_final < $min_similarity THEN 'mismatch' END,
    CASE WHEN $need_belief AND c.caption_doubt IS NOT NULL THEN 'doubtful_caption' END
  ], lambda r: r IS NOT NULL) AS drop_reasons
  FROM clips_full c LEFT JOIN (
    SELECT clip_id, row_number() OVER (PARTITION BY s.pcm_sha256 ORDER BY k.path, k.window_index) AS rank
    FROM signal s JOIN clips k USING (clip_id)
    WHERE s.pcm_sha256 IS NOT NULL AND s.silence_ratio < 1
  ) t USING (clip_id)
)
SELECT clip_id, 'ok' AS status, NULL AS error_type, NULL AS error_message,
       len(drop_reasons) = 0 AS kept, drop_reasons FROM judged
"""


def decide(dataset: Dataset, config: FilterConfig) -> Summary:
    """Make the table `decisions`: a row a clip, short tails and errors included."""
    out = sql_output(dataset, Decision, VERSION, asdict(config), READS)
    with connect(dataset) as con:
        return make_table(dataset, out, con, _DECISIONS, asdict(config))
