"""FAD and KAD of what the embedders heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...schemas.errors import MetricError
from ..metrics.fad import Fad, Sample, fad, fad_inf, sample
from ..metrics.frechet import Gaussian, gaussian
from ..metrics.kad import kad
from ..metrics.reference_stats import UNKNOWN_N
from .results import LOWER, Measurement
from .results_builder import ResultsBuilder, listening_of


@dataclass(frozen=True)
class Sides:
    """Both sides of a distance by one embedder: its number, its reference, the generated ids."""

    number: int
    ref: str
    ours: Sample
    theirs: Sample | Gaussian
    ids: Sequence[str]
    told: Mapping[str, Any]

    def name(self, metric: str) -> str:
        """The metric's name; that of a second embedder says which."""
        return metric if self.number == 0 else f"{metric}@{self.ref}"

    def sizes(self) -> dict[str, Any]:
        """Rows, dimensions and ranks."""
        own = gaussian(self.ours.rows)
        other = self.theirs if isinstance(self.theirs, Gaussian) else gaussian(self.theirs.rows)
        clips = self.theirs.clips if isinstance(self.theirs, Sample) else None
        return {
            "rows": own.n, "dim": own.dim, "rank": own.rank,
            "reference_rows": None if other.n == UNKNOWN_N else other.n,
            "reference_rank": other.rank, "reference_clips": clips,
        }  # fmt: skip


def distances(results: ResultsBuilder, number: int, ref: str) -> None:
    """FAD and KAD of one embedder."""
    extractor = results.inputs.extractors[f"embed:{ref}"]
    pairs = results.inputs.ok(f"embed:{ref}", results.inputs.generated.items)
    if len(pairs) < 2:
        raise MetricError(f"{len(pairs)} clips could be heard by {ref}: needs 2")
    ours = sample([found.rows for _, found in pairs if found.rows is not None])
    theirs = _reference(results, f"embed:{ref}", ours.rows.shape[1])
    sides = Sides(
        number, ref, ours, theirs, [item.id for item, _ in pairs], listening_of(extractor)
    )
    results.vectors |= {
        f"{number}/ids": np.array(sides.ids, dtype=str),
        f"{number}/rows": ours.rows.astype(np.float32),
        f"{number}/owner": ours.owner,
    }
    if "fad" in results.config.metrics.metrics:
        _fad(results, sides)
    if "kad" in results.config.metrics.metrics:
        results.attempt(sides.name("kad"), lambda: _kad(results, sides))


def _reference(results: ResultsBuilder, extractor: str, dim: int) -> Sample | Gaussian:
    """The reference's rows, or its statistics."""
    inputs = results.inputs
    if inputs.stats is not None:
        known = inputs.stats.about
        wanted = {
            **listening_of(inputs.extractors[extractor]),
            "seconds": results.config.metrics.seconds,
        }
        if known is not None and known != wanted:
            raise MetricError(f"the statistics were made by {known}, not by {wanted}")
        if inputs.stats.gaussian.dim != dim:
            raise MetricError(
                f"the statistics have {inputs.stats.gaussian.dim} dimensions, the embedder {dim}"
            )
        return inputs.stats.sample or inputs.stats.gaussian
    if inputs.reference is None:
        raise MetricError("there is no reference")
    rows = [f.rows for _, f in inputs.ok(extractor, inputs.reference.items) if f.rows is not None]
    if len(rows) < 2:
        raise MetricError(f"{len(rows)} clips of the reference could be heard: needs 2")
    return sample(rows)


def _fad(results: ResultsBuilder, sides: Sides) -> None:
    ours, theirs = sides.ours, sides.theirs
    found = fad(ours, theirs)
    for clip, share in zip(sides.ids, found.influence, strict=True):
        results.per_clip[clip][sides.name("fad_influence")] = float(share)
    notes = _fad_notes(found, ours)
    if results.inputs.stats is not None and results.inputs.stats.about is None:
        notes.append("the reference's statistics do not say what made them: make sure it was this")
    detail = sides.sizes() | {"fixed_reference": found.fixed_reference}
    if results.config.metrics.fad_inf:
        reference = theirs if isinstance(theirs, Gaussian) else gaussian(theirs.rows)
        results.attempt("fad_inf", lambda: detail.update(fad_inf=asdict(fad_inf(ours, reference))))
    results.add(
        Measurement(
            sides.name("fad"), found.value, ours.clips, LOWER, {}, "", found.unbiased, found.se,
            found.low, found.high, detail, notes,
        ),
        {"metric": "fad", **sides.told},
    )  # fmt: skip


def _kad(results: ResultsBuilder, sides: Sides) -> None:
    ours, theirs = sides.ours, sides.theirs
    if isinstance(theirs, Gaussian):
        raise MetricError("KAD needs the reference's rows, which these statistics do not hold")
    found = kad(ours.rows, theirs.rows, (ours.owner, theirs.owner))
    results.vectors[f"{sides.number}/witness"] = found.witness
    results.vectors[f"{sides.number}/bandwidth"] = np.array(found.bandwidth)
    detail = sides.sizes() | {"bandwidth": found.bandwidth}
    results.add(
        Measurement(
            sides.name("kad"), found.value, ours.clips, LOWER, {}, "", None, found.se, found.low,
            found.high, detail,
        ),
        {"metric": "kad", "kernel": "gaussian, median distance of the reference", **sides.told},
    )  # fmt: skip


def _fad_notes(found: Fad, ours: Sample) -> list[str]:
    notes = [found.why] if found.why else []
    rows, dim = ours.rows.shape
    if rows <= dim:
        notes.append(f"{rows} rows for {dim} dimensions: the covariance has no full rank")
    if found.unbiased is not None and found.value > 2 * max(found.unbiased, 0):
        notes.append("most of the plain value is the bias of its n: compare `unbiased`, or equal n")
    return notes
