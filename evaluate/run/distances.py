"""FAD and KAD of the embeddings."""

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
from .results_builder import ResultsBuilder, front_end


@dataclass(frozen=True)
class Sides:
    """Both sides of a distance by one embedder: its number, its reference, the generated ids."""

    number: int
    ref: str
    ours: Sample
    theirs: Sample | Gaussian
    ids: Sequence[str]
    protocol: Mapping[str, Any]

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


def distances(builder: ResultsBuilder, number: int, ref: str) -> None:
    """FAD and KAD of one embedder."""
    extractor = builder.inputs.extractors[f"embed:{ref}"]
    pairs = builder.inputs.ok(f"embed:{ref}", builder.inputs.generated.items)
    if len(pairs) < 2:
        raise MetricError(f"{len(pairs)} clips could be embedded by {ref}: needs 2")
    ours = sample([f.rows for _, f in pairs if f.rows is not None])
    theirs = _reference(builder, f"embed:{ref}", ours.rows.shape[1])
    sides = Sides(number, ref, ours, theirs, [item.id for item, _ in pairs], front_end(extractor))
    builder.vectors |= {
        f"{number}/ids": np.array(sides.ids, dtype=str),
        f"{number}/rows": ours.rows.astype(np.float32),
        f"{number}/owner": ours.owner,
    }
    if "fad" in builder.config.metrics.metrics:
        _fad(builder, sides)
    if "kad" in builder.config.metrics.metrics:
        builder.attempt(sides.name("kad"), lambda: _kad(builder, sides))


def _reference(builder: ResultsBuilder, extractor: str, dim: int) -> Sample | Gaussian:
    """The reference's rows, or its statistics."""
    inputs = builder.inputs
    if inputs.stats is not None:
        made_by = inputs.stats.about
        expected = {
            **front_end(inputs.extractors[extractor]),
            "seconds": builder.config.metrics.seconds,
        }
        if made_by is not None and made_by != expected:
            raise MetricError(f"the statistics were made by {made_by}, not by {expected}")
        if inputs.stats.gaussian.dim != dim:
            raise MetricError(
                f"the statistics have {inputs.stats.gaussian.dim} dimensions, the embedder {dim}"
            )
        return inputs.stats.sample or inputs.stats.gaussian
    if inputs.reference is None:
        raise MetricError("there is no reference")
    rows = [f.rows for _, f in inputs.ok(extractor, inputs.reference.items) if f.rows is not None]
    if len(rows) < 2:
        raise MetricError(f"{len(rows)} clips of the reference could be embedded: needs 2")
    return sample(rows)


def _fad(builder: ResultsBuilder, sides: Sides) -> None:
    ours, theirs = sides.ours, sides.theirs
    result = fad(ours, theirs)
    for clip, share in zip(sides.ids, result.influence, strict=True):
        builder.per_clip[clip][sides.name("fad_influence")] = float(share)
    notes = _fad_notes(result, ours)
    if builder.inputs.stats is not None and builder.inputs.stats.about is None:
        notes.append("the reference's statistics do not say what made them: make sure it was this")
    detail = sides.sizes() | {"fixed_reference": result.fixed_reference}
    if builder.config.metrics.fad_inf:
        reference = theirs if isinstance(theirs, Gaussian) else gaussian(theirs.rows)
        builder.attempt("fad_inf", lambda: detail.update(fad_inf=asdict(fad_inf(ours, reference))))
    builder.add(
        Measurement(
            sides.name("fad"), result.value, ours.clips, LOWER, {}, "", result.unbiased, result.se,
            result.low, result.high, detail, notes,
        ),
        {"metric": "fad", **sides.protocol},
    )  # fmt: skip


def _kad(builder: ResultsBuilder, sides: Sides) -> None:
    ours, theirs = sides.ours, sides.theirs
    if isinstance(theirs, Gaussian):
        raise MetricError("KAD needs the reference's rows, which these statistics do not hold")
    result = kad(ours.rows, theirs.rows, (ours.owner, theirs.owner))
    builder.vectors[f"{sides.number}/witness"] = result.witness
    builder.vectors[f"{sides.number}/bandwidth"] = np.array(result.bandwidth)
    detail = sides.sizes() | {"bandwidth": result.bandwidth}
    builder.add(
        Measurement(
            sides.name("kad"), result.value, ours.clips, LOWER, {}, "", None, result.se, result.low,
            result.high, detail,
        ),
        {"metric": "kad", "kernel": "gaussian, median distance of the reference", **sides.protocol},
    )  # fmt: skip


def _fad_notes(result: Fad, ours: Sample) -> list[str]:
    notes = [result.why] if result.why else []
    rows, dim = ours.rows.shape
    if rows <= dim:
        notes.append(f"{rows} rows for {dim} dimensions: the covariance has no full rank")
    if result.unbiased is not None and result.value > 2 * max(result.unbiased, 0):
        notes.append("most of the plain value is the bias of its n: compare `unbiased`, or equal n")
    return notes
