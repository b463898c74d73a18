"""Two systems on the same clips: paired tests, one a metric, with Holm's correction over them.

KL, CLAP score and p-MOS: paired t test and signed ranks over the clips both have. FAD: the
influence of each clip on both values, so that what the clips share cancels. KAD: the two systems'
clips of each id are exchanged at random, 999 times; the kernel is that of the common reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...reports.statistics import Z95, holm, paired
from ...schemas.errors import ConfigError, MetricError
from ..metrics.fad import SEED
from ..metrics.kad import SCALE, gaussian_kernel
from ..run.results import LOWER, Measurement, Results

PERMUTATIONS = 999
OF_REFERENCE = ("fad", "kad", "kl")


@dataclass(frozen=True)
class MetricComparison:
    """B against A in one metric.

    difference, low, high: B less A with its 95% interval (None for KAD). p: of `test`, two-sided;
    p_holm: corrected for all metrics. p_wilcoxon: signed ranks, where they apply. better: which is
    better, A, B or neither, at p_holm < .05. n: clips both have.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    test: str
    p: float
    n: int
    p_wilcoxon: float | None = None
    p_holm: float = 1.0
    p_wilcoxon_holm: float | None = None
    better: str = "neither"


def compare(a: Results, b: Results) -> list[MetricComparison]:
    """Every metric that both have. Raises ConfigError where they were not measured alike."""
    names = [n.name for n in a.numbers if n.name in {m.name for m in b.numbers} and n.name != "is"]
    if not names:
        raise ConfigError(f"{a.system} and {b.system} have no metric in common that can be tested")
    for name in names:
        check_alike(name, a, b)
    comparisons = [_one(name, a, b) for name in names]
    p = holm({c.name: c.p for c in comparisons})
    ranks = holm({c.name: c.p_wilcoxon for c in comparisons if c.p_wilcoxon is not None})
    done = []
    for c in comparisons:
        lower = a.number(c.name).better == LOWER
        verdict = "B" if (c.difference < 0) == lower else "A"
        better = verdict if p[c.name] < 0.05 and c.difference else "neither"
        done.append(replace(c, p_holm=p[c.name], p_wilcoxon_holm=ranks.get(c.name), better=better))
    return done


def check_alike(name: str, a: Results, b: Results) -> None:
    """Raises ConfigError where a metric of two results is not one measure."""
    one, other = a.number(name), b.number(name)
    if one.protocol_id != other.protocol_id:
        raise ConfigError(
            f"{name} of {a.system} has the protocol {one.protocol_id}, of {b.system} "
            f"{other.protocol_id}: they differ in {_differing(one, other)}"
        )
    if name.partition("@")[0] in OF_REFERENCE and _reference(a) != _reference(b):
        raise ConfigError(
            f"{name}: {a.system} and {b.system} were held against different references, "
            f"{_reference(a)} and {_reference(b)}"
        )


def _reference(results: Results) -> str | None:
    return str(results.reference["digest"]) if results.reference else None


def _differing(one: Measurement, other: Measurement) -> str:
    keys = sorted(one.protocol.keys() | other.protocol.keys())
    apart = [k for k in keys if one.protocol.get(k) != other.protocol.get(k)]
    return "; ".join(f"{k}: {one.protocol.get(k)} and {other.protocol.get(k)}" for k in apart)


def _one(name: str, a: Results, b: Results) -> MetricComparison:
    kind = name.partition("@")[0]
    test: Callable[[str, Results, Results], MetricComparison] = {"fad": _fad, "kad": _kad}.get(
        kind, _mean
    )
    return test(name, a, b)


def _shared(field: str, a: Results, b: Results) -> tuple[np.ndarray, np.ndarray]:
    """Values of a per-clip metric of the clips that both have, in order of id."""
    ours = {c["id"]: c[field] for c in a.clips if field in c}
    theirs = {c["id"]: c[field] for c in b.clips if field in c}
    ids = sorted(ours.keys() & theirs.keys())
    if len(ids) < 2:
        raise ConfigError(f"{field}: {a.system} and {b.system} share {len(ids)} clips; needs 2")
    return np.array([ours[i] for i in ids]), np.array([theirs[i] for i in ids])


def _mean(name: str, a: Results, b: Results) -> MetricComparison:
    ours, theirs = _shared(name, a, b)
    test = paired(ours, theirs)
    return MetricComparison(
        name, float(ours.mean()), float(theirs.mean()), test.difference, test.low, test.high,
        "paired t", test.p_t, test.n, test.p_wilcoxon,
    )  # fmt: skip


def _fad(name: str, a: Results, b: Results) -> MetricComparison:
    from scipy import stats

    one, other = a.number(name), b.number(name)
    if one.unbiased is None or other.unbiased is None:
        values, test = (one.value, other.value), "influence; plain values, biased by n"
    else:
        values, test = (one.unbiased, other.unbiased), "influence"
    ours, theirs = _shared(name.replace("fad", "fad_influence", 1), a, b)
    n = len(ours)
    if n < max(one.n, other.n):
        test += f"; error from the {n} shared clips"
    apart = n * (theirs - ours)  # the stored shares are influences over n
    se = float(apart.std(ddof=1) / np.sqrt(n))
    difference = values[1] - values[0]
    p = float(2 * stats.norm.sf(abs(difference) / se)) if se else float(difference == 0)
    reach = Z95 * se
    return MetricComparison(
        name, *values, difference, difference - reach, difference + reach, test, p, n
    )


def _kad(name: str, a: Results, b: Results) -> MetricComparison:
    number = _number_of(name, a)
    ours, theirs = _vectors(number, a.vectors), _vectors(number, b.vectors)
    ids = sorted(ours.keys() & theirs.keys())
    if len(ids) < 2:
        raise ConfigError(f"{name}: {a.system} and {b.system} share {len(ids)} clips; needs 2")
    rows = np.concatenate([s[i][0] for s in (ours, theirs) for i in ids]).astype(np.float64)
    witness = np.concatenate([s[i][1] for s in (ours, theirs) for i in ids])
    counts = np.array([len(s[i][0]) for s in (ours, theirs) for i in ids])
    kernel = gaussian_kernel(float(a.vectors[f"{number}/bandwidth"]))(rows, rows)
    rng = np.random.default_rng(SEED)
    swaps = rng.random((PERMUTATIONS + 1, len(ids))) < 0.5
    swaps[0] = False  # the first is what was measured
    in_a = np.repeat(np.concatenate([~swaps, swaps], 1), counts, axis=1)  # [1 + P, rows]
    values = _kad_of(in_a, kernel, witness), _kad_of(~in_a, kernel, witness)
    apart = values[1] - values[0]
    p = float((np.abs(apart) >= abs(apart[0]) * (1 - 1e-12)).mean())
    one, other = float(a.number(name).value), float(b.number(name).value)
    return MetricComparison(
        name, one, other, other - one, None, None, f"{PERMUTATIONS} exchanges", p, len(ids)
    )


def _kad_of(selected: np.ndarray, kernel: np.ndarray, witness: np.ndarray) -> np.ndarray:
    """KAD, less the reference's own term, of each selection of rows [P, rows]: float64 [P]."""
    x = selected.astype(np.float64)
    n = x.sum(1)
    inside = (np.einsum("pi,pi->p", x @ kernel, x) - n) / (n * (n - 1))
    return SCALE * (inside - 2 * (x @ witness) / n)


def _number_of(name: str, results: Results) -> int:
    """The place of a KAD's embedder among those of its evaluation."""
    if "@" not in name:
        return 0
    refs = list(results.config["models"]["embedder"])
    return refs.index(name.partition("@")[2])


def _vectors(
    number: int, held: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(rows, witness) of each clip, by id. Raises MetricError where they were not kept."""
    try:
        ids, rows = held[f"{number}/ids"], held[f"{number}/rows"]
        owner, witness = held[f"{number}/owner"], held[f"{number}/witness"]
    except KeyError as error:
        raise MetricError(f"vectors.npz lacks {error}: evaluate with the metric kad") from error
    edges = np.searchsorted(owner, np.arange(len(ids) + 1))
    return {
        str(name): (rows[edges[k] : edges[k + 1]], witness[edges[k] : edges[k + 1]])
        for k, name in enumerate(ids)
    }
