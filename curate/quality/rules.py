"""The rules of the filter, a row each: what drops a clip, the setting behind it, and what is said.

From these rows follow the SQL of `decisions`, the help of the settings, the report's explanations
and the documents. A condition is true where it speaks against a clip; a comparison with a missing
number is null, so that a clip is never dropped for what was not measured. `c` is the clip's row of
`clips_full`, `t` its place among clips of the same samples, `$name` a setting; None is off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...schemas.errors import ConfigError

_NAMED = re.compile(r"([a-z][a-z0-9_]*)\s*:(?!:)\s*(.+)", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """One reason against clips.

    name: the reason, as in `drop_reasons`. condition: SQL. sentence: what the reason means.
    setting: of [filter], where one is behind it. help: what the setting sets.
    """

    name: str
    condition: str
    sentence: str
    setting: str | None = None
    help: str = ""


# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("error", "len(c.errors) > 0", "a station could not make its row"),
    Rule("short_tail", "c.skip = 'short_tail'", "the rest of a file, too short to keep"),
    Rule("too_short", "c.skip = 'too_short'", "a file shorter than the shortest clip"),
    Rule("silent", "c.silence_ratio > $max_silence", "too much silence",
         "max_silence", "largest share of silent frames"),
    Rule("too_quiet", "c.rms_dbfs < $min_rms_dbfs", "level below the floor",
         "min_rms_dbfs", "lowest RMS level in dBFS"),
    Rule("clipped", "c.clipping_ratio > $max_clipping", "too many clipped samples",
         "max_clipping", "largest share of clipped samples"),
    Rule("narrow_band", "c.bandwidth_hz < $min_bandwidth_hz", "bandwidth below the floor",
         "min_bandwidth_hz", "lowest bandwidth in Hz"),
    Rule("low_pmos", "c.pmos < $min_pmos", "p-MOS below the floor",
         "min_pmos", "lowest p-MOS"),
    Rule("low_level", "c.quality_level < $min_level", "quality level below the floor",
         "min_level", "lowest quality level, 1..5"),
    Rule("duplicate_audio", "$dedup_audio AND t.rank > 1",
         "the samples of another clip, in another container or with other tags",
         "dedup_audio", "drop clips whose samples equal another's"),
    Rule("no_caption", "$need_caption AND c.refined_caption IS NULL AND c.skip IS NULL",
         "no caption at the end", "need_caption", "drop clips that end without a caption"),
    Rule("mismatch", "c.sim_final < $min_similarity", "audio and final caption too far apart",
         "min_similarity", "lowest audio-text similarity of the final caption"),
    Rule("doubtful_caption", "$need_belief AND c.caption_doubt IS NOT NULL",
         "the final caption does not fit, yet is the nearest",
         "need_belief", "drop clips whose caption does not fit, yet is the nearest"),
)
# Off unless they are set; their values are no scalars, so that `filter.py` makes their condition.
LIST_RULES: tuple[Rule, ...] = (
    Rule("where", "", "a condition of --where is not true of it",
         "where", "SQL condition on clips_full that clips kept fulfil, or `name: condition`"),
    Rule("excluded", "", "named in a list of --exclude",
         "exclude", "file of clip ids or paths to drop: txt, csv, jsonl or parquet"),
    Rule("licence", "", "its licence is none of those wanted, or is not known",
         "licences", "licences to keep, as patterns like 'cc-by*'; an unknown one is dropped"),
    Rule("source", "", "of a source that is not wanted",
         "sources", "sources to keep, as patterns; an unknown one is dropped"),
    Rule("source", "", "of a source that is not wanted",
         "not_sources", "sources to drop, as patterns"),
)
# fmt: on


def help_of(setting: str) -> str:
    """What a setting of [filter] sets."""
    return next(rule.help for rule in (*RULES, *LIST_RULES) if rule.setting == setting)


def conditions(where: tuple[str, ...]) -> dict[str, str]:
    """reason -> condition, of `name: SQL` or plain SQL, which is `where_1`, `where_2`, ...

    Raises ConfigError for a name that is given twice or is another rule's.
    """
    taken = {rule.name for rule in (*RULES, *LIST_RULES)} - {"where"}
    by_reason: dict[str, str] = {}
    for number, text in enumerate(where, 1):
        named = _NAMED.fullmatch(text.strip())
        name, condition = named.groups() if named else (f"where_{number}", text.strip())
        if name in taken or name in by_reason:
            raise ConfigError(f"where {text!r}: the reason {name} is taken; give it another name")
        by_reason[name] = condition
    return by_reason
