"""KL, IS, CLAP score and p-MOS of what was heard."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ...schemas.errors import MetricError
from ..features.extractors import PmosExtractor
from ..metrics.clap_score import text_match
from ..metrics.inception import inception_score, kl_per_clip
from ..metrics.intervals import mean_of
from .results import HIGHER, LOWER, Measurement
from .results_builder import ResultsBuilder, listening_of


def kl(results: ResultsBuilder) -> None:
    """KL of each generated clip and the clip of the reference that it is paired with by id."""
    reference = results.inputs.reference
    if reference is None:
        raise MetricError("there is no reference set to pair with")
    theirs = {i.id: f.logits for i, f in results.inputs.ok("classify", reference.items)}
    ours = results.inputs.ok("classify", results.inputs.generated.items)
    pairs = [(i, f.logits, theirs[results.inputs.reference_of(i)]) for i, f in ours
             if results.inputs.reference_of(i) in theirs]  # fmt: skip
    if not pairs:
        mine, other = (sorted(x)[:2] for x in ([i.id for i, _ in ours], theirs))
        raise MetricError(f"no id of {mine} ... is among those of the reference, {other} ...")
    direction = results.config.metrics.kl_direction or results.protocol.kl_direction
    each = kl_per_clip(
        np.stack([p for _, p, _ in pairs if p is not None]),
        np.stack([q for _, _, q in pairs if q is not None]), direction, results.protocol.kl_eps,
    )  # fmt: skip
    for (item, _, _), value in zip(pairs, each, strict=True):
        results.per_clip[item.id]["kl"] = float(value)
    unpaired = len(ours) - len(pairs)
    told = {
        "metric": "kl", "direction": direction, "eps": results.protocol.kl_eps,
        "activation": "softmax", **_classifier(results),
    }  # fmt: skip
    notes = [f"{unpaired} clips have no pair"] if unpaired else []
    results.mean("kl", mean_of(each), LOWER, told, {"unpaired": unpaired}, notes)


def inception(results: ResultsBuilder) -> None:
    """IS of the generated clips."""
    pairs = results.inputs.ok("classify", results.inputs.generated.items)
    if len(pairs) < 2:
        raise MetricError(f"{len(pairs)} clips could be heard by the classifier: needs 2")
    logits = np.stack([f.logits for _, f in pairs if f.logits is not None])
    splits = results.config.metrics.is_splits or results.protocol.is_splits
    found = inception_score(logits, splits, results.protocol.is_shuffle)
    told = {
        "metric": "is", "splits": splits, "shuffle": results.protocol.is_shuffle,
        "activation": "softmax", **_classifier(results),
    }  # fmt: skip
    detail = {
        "classes": logits.shape[1],
        "deviation": found.deviation,
        "size_bias": float(found.size_bias),
    }
    notes = [f"grows with n: more clips would add about {found.size_bias:.2g}; compare at equal n"]
    results.add(
        Measurement(
            "is", found.value, len(pairs), HIGHER, {}, "", None, found.se, found.low,
            found.high, detail, notes,
        ),
        told,
    )  # fmt: skip


def _classifier(results: ResultsBuilder) -> dict[str, Any]:
    extractor = results.inputs.extractors["classify"]
    told = listening_of(extractor)
    return {"classifier": told.pop("embedder"), **told}


def clap(results: ResultsBuilder) -> None:
    """The CLAP score of the clips that have a caption."""
    inputs = results.inputs
    pairs = [
        (item, found.rows[0], inputs.captions[item.id].caption)
        for item, found in inputs.ok("match", inputs.generated.items)
        if item.id in inputs.captions and found.rows is not None
    ]
    if not pairs:
        raise MetricError(
            "no clip has a caption: give --captions FILE with the ids of the clips, or captions"
            " in the shards or manifest"
        )
    texts = sorted({caption for _, _, caption in pairs})
    place = {text: k for k, text in enumerate(texts)}
    found = text_match(
        np.stack([row for _, row, _ in pairs]),
        np.stack([inputs.texts[text] for text in texts]),
        np.array([place[caption] for _, _, caption in pairs]),
    )
    for (item, _, _), value in zip(pairs, found.per_clip, strict=True):
        results.per_clip[item.id]["clap"] = float(value)
    extractor = inputs.extractors["match"]
    told = {"metric": "clap", **listening_of(extractor)}
    detail = {
        "texts": len(texts), "mismatched": found.mismatched, "r1": found.r1, "r10": found.r10,
        "difference": asdict(found.difference) if found.difference else None,
    }  # fmt: skip
    results.mean("clap", found.matched, HIGHER, told, detail)


def pmos(results: ResultsBuilder) -> None:
    """The mean p-MOS, and that of the reference beside it."""
    ours = results.inputs.ok("pmos", results.inputs.generated.items)
    values = [_pmos(found.values) for _, found in ours]
    if not values:
        raise MetricError("no clip has a p-MOS")
    for (item, _), value in zip(ours, values, strict=True):
        results.per_clip[item.id]["pmos"] = value
    extractor = results.inputs.extractors["pmos"]
    if not isinstance(extractor, PmosExtractor):
        raise TypeError(extractor)
    told = {
        "metric": "pmos",
        "model": extractor.named.model_id,
        "digest": extractor.named.digest,
        **extractor.params,
    }
    detail: dict[str, Any] = {"unit": "MOS, 1..5"}
    if results.inputs.reference is not None:
        theirs = results.inputs.ok("pmos", results.inputs.reference.items)
        if theirs:
            detail["reference"] = asdict(mean_of(np.array([_pmos(f.values) for _, f in theirs])))
    results.mean("pmos", mean_of(np.array(values)), HIGHER, told, detail)


def _pmos(values: dict[str, Any] | None) -> float:
    return float((values or {})["pmos"])
