"""Filter: kept or not, by SQL over stored numbers; every reason against a clip is listed.

The rules stand in `rules.py`, a row each; `filter_lists.py` reads lists of ids. Beside them stand the
conditions of `--where`, which a kept clip fulfils, and the rules of plug-ins, which drop it. A
comparison with a missing number is false: a clip is never dropped for what was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from ...pipeline.conditions import check_condition, lock_down
from ...pipeline.dataset import Dataset
from ...pipeline.runner import Summary
from ...pipeline.sql_table import make_table, sql_output
from ...pipeline.views import connect, one_row, plugin_tables
from ...schemas.arrow import declaration_of, name_of
from ...schemas.errors import ConfigError
from ...schemas.tables import TABLES, Decision
from ..config import FilterConfig
from .filter_lists import Excluded, read_excluded
from .rules import LIST_RULES, RULES, Rule, conditions

VERSION = 2
_LISTS = tuple(rule.setting for rule in LIST_RULES if rule.setting)

_DECISIONS = """
WITH judged AS (
  SELECT c.clip_id, list_filter([{reasons}], lambda r: r IS NOT NULL) AS drop_reasons
  FROM clips_full c LEFT JOIN (
    SELECT clip_id, row_number() OVER (PARTITION BY s.pcm_sha256 ORDER BY k.path, k.window_index) AS rank
    FROM signal s JOIN clips k USING (clip_id)
    WHERE s.pcm_sha256 IS NOT NULL AND s.silence_ratio < 1
  ) t USING (clip_id){joins}
)
SELECT clip_id, 'ok' AS status, NULL AS error_type, NULL AS error_message,
       len(drop_reasons) = 0 AS kept, drop_reasons FROM judged
"""
_CONDITION = (
    " LEFT JOIN (SELECT clip_id, ({condition}) AS holds FROM clips_full) {name} USING (clip_id)"
)
_LIKE_ANY = (
    "coalesce(list_bool_or(list_transform(${setting}, lambda p: lower({column}) GLOB lower(p))),"
    " false)"
)


def decide(dataset: Dataset, config: FilterConfig, rules: Sequence[Rule] = ()) -> Summary:
    """Make the table `decisions`: a row a clip, short tails and errors included.

    rules: of plug-ins. Raises ConfigError for a condition or a list that cannot be used.
    """
    excluded = read_excluded(config.exclude, _roots(dataset)) if config.exclude else None
    out = sql_output(dataset, Decision, VERSION, _params(config, rules, excluded), reads(dataset))
    with connect(dataset) as con:
        if excluded:
            con.register("excluded", excluded.table)
        lock_down(con, dataset)
        sql = _sql(con, config, rules)
        values = {k: v for k, v in asdict(config).items() if f"${k}" in sql}
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return make_table(dataset, out, con, sql, values)


def reads(dataset: Dataset) -> list[str]:
    """The tables that decide: all whose columns stand in `clips_full`, but for the decisions."""
    full = (cls for cls in (*TABLES, *plugin_tables(dataset)) if declaration_of(cls).in_full)
    return ["clips", "files", *(name_of(cls) for cls in full if cls is not Decision)]


def unmatched(dataset: Dataset, config: FilterConfig) -> list[str]:
    """The lines of the lists of `exclude` that name no clip."""
    excluded = read_excluded(config.exclude, _roots(dataset))
    with connect(dataset) as con:
        con.register("excluded", excluded.table)
        rows = con.execute(
            "SELECT line FROM excluded GROUP BY line HAVING NOT bool_or(name IN (SELECT clip_id FROM"
            " clips) OR name IN (SELECT path FROM clips)) ORDER BY line"
        ).fetchall()
    return [line for (line,) in rows]


def without_licence(dataset: Dataset) -> int:
    """How many clips have no known licence."""
    with connect(dataset) as con:
        return int(one_row(con, "SELECT count(*) FROM clips WHERE licence IS NULL")[0])


def _params(
    config: FilterConfig, rules: Sequence[Rule], excluded: Excluded | None
) -> dict[str, Any]:
    """What the state depends on; what is off has no key, so that older states are found again."""
    values = asdict(config)
    params = {k: v for k, v in values.items() if k not in _LISTS}
    params |= {k: list(values[k]) for k in _LISTS if values[k] and k != "exclude"}
    if excluded:
        params["exclude_sha256"] = excluded.sha256
    if rules:
        params["rules"] = {rule.name: rule.condition for rule in rules}
    return params


def _sql(con: duckdb.DuckDBPyConnection, config: FilterConfig, rules: Sequence[Rule]) -> str:
    """The query of `decisions`: names and conditions of ours, and conditions that were checked."""
    reasons = [f"CASE WHEN {rule.condition} THEN '{rule.name}' END" for rule in RULES]
    joins = ""
    if config.exclude:
        reasons.append(
            "CASE WHEN c.clip_id IN (SELECT name FROM excluded) OR c.path IN (SELECT name FROM"
            " excluded) THEN 'excluded' END"
        )
    if config.licences:
        wanted = _LIKE_ANY.format(setting="licences", column="c.licence")
        reasons.append(f"CASE WHEN NOT {wanted} THEN 'licence' END")
    of_source = []
    if config.sources:
        of_source.append(f"NOT {_LIKE_ANY.format(setting='sources', column='c.source')}")
    if config.not_sources:
        of_source.append(_LIKE_ANY.format(setting="not_sources", column="c.source"))
    if of_source:
        reasons.append(f"CASE WHEN {' OR '.join(of_source)} THEN 'source' END")
    where = conditions(config.where)
    if both := [rule.name for rule in rules if rule.name in where]:
        raise ConfigError(f"where {both[0]}: a plug-in's rule has that name; give it another")
    conditions_of = [(name, text, "NOT") for name, text in where.items()]
    conditions_of += [(rule.name, rule.condition, "") for rule in rules]
    for number, (name, text, drops_where) in enumerate(conditions_of):
        what = f"filter rule {name}" if not drops_where else f"where {name}"
        condition = check_condition(con, text, what)
        joins += _CONDITION.format(condition=condition, name=f"asked_{number}")
        reasons.append(f"CASE WHEN {drops_where} asked_{number}.holds THEN '{name}' END")
    return _DECISIONS.format(reasons=", ".join(reasons), joins=joins)


def _roots(dataset: Dataset) -> list[str]:
    """The folders and manifests that were ingested."""
    with connect(dataset) as con:
        return [r for (r,) in con.execute("SELECT DISTINCT root FROM files ORDER BY 1").fetchall()]
