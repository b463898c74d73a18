"""Quantize: p-MOS -> mu and sigma -> quality level 1..5 (5 is best) and text prefix.

The paper (QA-MDT, arXiv 2405.15863, section 3.2) prints
    Q(s) = floor((s - (mu - 2 sigma)) / sigma) + r,   r = 2 if s > mu else 1.
As printed, 3 is reached at s = mu alone, so never: just below mu it gives 2, just above 4; and it
leaves 1..5 on both sides. With r swapped (1 if s >= mu else 2) and clipped it is the ladder of the
released code, and that is our default:

    level     1          2          3          4          5
         < mu-2s | < mu-s   | < mu+s   | < mu+2s  | >= mu+2s        (a bound belongs above)

Schemes: `ladder`; `printed` (the formula as printed, clipped to 1..5); `released` (the ladder at the
released mu 3.80, sigma 0.20, which fit that scorer alone); `quantile` (five equal shares). All are
comparisons with bounds, never the floor of a quotient: in floating point (3.8 - 3.4) / 0.2 is
1.9999999999999996.

Prefixes: `paper` (low < mu-2s, medium mu-s..mu+s, high > mu+2s, none in the gaps), `released` (low
<= 3.55, high >= 4.05, medium between), `quantile` (low: lowest fifth, high: highest fifth).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ...pipeline.dataset import Dataset
from ...pipeline.runner import Summary
from ...pipeline.sql_table import make_table, sql_output
from ...pipeline.views import connect
from ...schemas.arrow import to_arrow
from ...schemas.tables import Bounds, Level
from ..config import QuantizeConfig

VERSION = 1
RELEASED_MU, RELEASED_SIGMA = 3.80, 0.20
RELEASED_LOW, RELEASED_HIGH = 3.55, 4.05
QUANTILES = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0]
FIFTHS = [0.2, 0.4, 0.6, 0.8]


@dataclass(frozen=True)
class Statistics:
    """Of the p-MOS of one group: population sigma, third standardised moment."""

    grouping: str
    model_id: str | None
    n: int
    mu: float
    sigma: float
    skew: float
    quantiles: list[float]
    fifths: list[float]


def level_edges(scheme: str, stats: Statistics) -> list[float]:
    """The four ascending bounds between levels 1|2|3|4|5; a score at a bound is above it.

    Where sigma is 0 every score is mu, and mu is level 3.
    """
    mu, sigma = stats.mu, stats.sigma
    if scheme == "quantile":
        return list(stats.fifths)
    if scheme == "released":
        mu, sigma = RELEASED_MU, RELEASED_SIGMA
    if sigma == 0:
        return [-math.inf, -math.inf, math.inf, math.inf]
    if scheme == "printed":
        return [mu - sigma, mu, _above(mu), mu + sigma]
    return [mu - 2 * sigma, mu - sigma, mu + sigma, mu + 2 * sigma]


def prefix_edges(scheme: str, stats: Statistics) -> list[float]:
    """[a, b, c, d]: low quality below a, medium in [b, c), high from d; none in the gaps."""
    mu, sigma = stats.mu, stats.sigma
    if scheme == "released":
        return [_above(RELEASED_LOW), _above(RELEASED_LOW), RELEASED_HIGH, RELEASED_HIGH]
    if scheme == "quantile":
        return [stats.fifths[0], stats.fifths[0], stats.fifths[3], stats.fifths[3]]
    return [mu - 2 * sigma, mu - sigma, _above(mu + sigma), _above(mu + 2 * sigma)]


def level_of(score: float, edges: list[float]) -> int:
    """The level 1..5 of a score: one more than the number of bounds that it reaches."""
    return 1 + sum(score >= edge for edge in edges)


def prefix_of(score: float, edges: list[float]) -> str | None:
    """The quality prefix of a score, or None in a gap."""
    low, medium, end, high = edges
    if score < low:
        return "low quality"
    if score >= high:
        return "high quality"
    return "medium quality" if medium <= score < end else None


def _above(x: float) -> float:
    """The next float: `s > x` is `s >= _above(x)`."""
    return math.nextafter(x, math.inf)


_STATISTICS = """
WITH scored AS (
  SELECT CASE WHEN $per = 'source' THEN coalesce(c.source, 'unknown') ELSE 'set' END AS grouping,
         p.pmos::DOUBLE AS s, p.model_id
  FROM pmos p JOIN clips c USING (clip_id) WHERE p.status = 'ok'
), first AS (
  SELECT grouping, any_value(model_id) AS model_id, count(*) AS n, avg(s) AS mu,
         stddev_pop(s) AS sigma, quantile_cont(s, $quantiles) AS quantiles,
         quantile_cont(s, $fifths) AS fifths
  FROM scored GROUP BY grouping
)
SELECT f.grouping, f.model_id, f.n, f.mu, f.sigma,
       coalesce(avg(power((s - mu) / nullif(sigma, 0), 3)), 0) AS skew, quantiles, fifths
FROM scored JOIN first f USING (grouping) GROUP BY ALL ORDER BY f.grouping
"""

_LEVELS = """
SELECT p.clip_id, p.status, CASE WHEN p.status = 'error' THEN 'NoScore' END AS error_type,
       CASE WHEN p.status = 'error' THEN 'no p-MOS: ' || p.error_message END AS error_message,
       CASE WHEN p.status = 'ok' THEN 1 + len(list_filter(b.edges, lambda e: p.pmos >= e))
            END AS quality_level,
       CASE WHEN p.pmos < b.prefix_edges[1] THEN 'low quality'
            WHEN p.pmos >= b.prefix_edges[4] THEN 'high quality'
            WHEN p.pmos >= b.prefix_edges[2] AND p.pmos < b.prefix_edges[3] THEN 'medium quality'
            END AS quality_prefix,
       b.grouping
FROM (SELECT p.clip_id, p.status, p.error_message, p.pmos::DOUBLE AS pmos,
             CASE WHEN $per = 'source' THEN coalesce(c.source, 'unknown') ELSE 'set' END AS grouping
      FROM pmos p JOIN clips c USING (clip_id)) p
LEFT JOIN new_bounds b USING (grouping)
"""


def quantize(dataset: Dataset, config: QuantizeConfig) -> tuple[Summary, list[Bounds]]:
    """Make the tables `bounds` and `levels`. Returns the summary of `levels` and all bounds."""
    reads = ["clips", "files", "pmos"]
    params = asdict(config)
    with connect(dataset) as con:
        every = [Statistics(*row) for row in _statistics(con, config)]
        con.register("new_bounds", _edges(every, config))
        levels = sql_output(dataset, Level, VERSION, params, reads)
        summary = make_table(dataset, levels, con, _LEVELS, {"per": config.per})
    with connect(dataset) as con:
        bounds = [_bounds(s, config, _counts(con, s.grouping)) for s in every]
        con.register("counted", to_arrow(Bounds, bounds))
        out = sql_output(dataset, Bounds, VERSION, params, reads)
        make_table(dataset, out, con, "SELECT * FROM counted")
    return summary, bounds


def _edges(every: list[Statistics], config: QuantizeConfig) -> pa.Table:
    return pa.table(
        {
            "grouping": pa.array([s.grouping for s in every], pa.string()),
            "edges": pa.array(
                [level_edges(config.scheme, s) for s in every], pa.list_(pa.float64())
            ),
            "prefix_edges": pa.array(
                [prefix_edges(config.prefixes, s) for s in every], pa.list_(pa.float64())
            ),
        }
    )


def _counts(con: duckdb.DuckDBPyConnection, grouping: str) -> list[float]:
    """Clips at level 1..5."""
    counts = con.execute(
        "SELECT quality_level, count(*) FROM levels WHERE status = 'ok' AND grouping = ? GROUP BY 1",
        [grouping],
    ).fetchall()
    return [float(dict(counts).get(level, 0)) for level in range(1, 6)]


def _bounds(s: Statistics, config: QuantizeConfig, counts: list[float]) -> Bounds:
    return Bounds(
        grouping=s.grouping,
        scheme=config.scheme,
        prefix_scheme=config.prefixes,
        model_id=s.model_id,
        n=s.n,
        mu=s.mu,
        sigma=s.sigma,
        skew=s.skew,
        quantiles=s.quantiles,
        edges=level_edges(config.scheme, s),
        level_counts=counts,
    )


def _statistics(con: duckdb.DuckDBPyConnection, config: QuantizeConfig) -> list[Any]:
    params = {"per": config.per, "quantiles": QUANTILES, "fifths": FIFTHS}
    return con.execute(_STATISTICS, params).fetchall()


def empty_levels(bounds: Bounds) -> list[int]:
    """The levels that no clip has."""
    return [k for k, n in enumerate(bounds.level_counts or [], 1) if n == 0]
