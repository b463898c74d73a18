"""KL, IS, CLAP score and p-MOS of the features."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ...reports.statistics import mean_of
from ...schemas.errors import MetricError
from ..features.extractors import PmosExtractor
from ..metrics.clap_score import text_match
from ..metrics.inception import inception_score, kl_per_clip
from .results import HIGHER, LOWER, Measurement
from .results_builder import ResultsBuilder, front_end


def kl(builder: ResultsBuilder) -> None:
    """KL of each generated clip and the clip of the reference that it is paired with by id."""
    reference = builder.inputs.reference
    if reference is None:
        raise MetricError("there is no reference set to pair with")
    theirs = {i.id: f.logits for i, f in builder.inputs.ok("classify", reference.items)}
    ours = builder.inputs.ok("classify", builder.inputs.generated.items)
    pairs = [(i, f.logits, theirs[builder.inputs.reference_of(i)]) for i, f in ours
             if builder.inputs.reference_of(i) in theirs]  # fmt: skip
    if not pairs:
        mine, other = (sorted(x)[:2] for x in ([i.id for i, _ in ours], theirs))
        raise MetricError(f"no id of {mine} ... is among those of the reference, {other} ...")
    direction = builder.config.metrics.kl_direction or builder.rules.kl_direction
    each = kl_per_clip(
        np.stack([p for _, p, _ in pairs if p is not None]),
        np.stack([q for _, _, q in pairs if q is not None]), direction, builder.rules.kl_eps,
    )  # fmt: skip
    for (item, _, _), value in zip(pairs, each, strict=True):
        builder.per_clip[item.id]["kl"] = float(value)
    unpaired = len(ours) - len(pairs)
    protocol = {
        "metric": "kl", "direction": direction, "eps": builder.rules.kl_eps,
        "activation": "softmax", **_classifier(builder),
    }  # fmt: skip
    notes = [f"{unpaired} clips have no pair"] if unpaired else []
    builder.mean("kl", mean_of(each), LOWER, protocol, {"unpaired": unpaired}, notes)


def inception(builder: ResultsBuilder) -> None:
    """IS of the generated clips."""
    pairs = builder.inputs.ok("classify", builder.inputs.generated.items)
    if len(pairs) < 2:
        raise MetricError(f"{len(pairs)} clips could be classified: needs 2")
    logits = np.stack([f.logits for _, f in pairs if f.logits is not None])
    splits = builder.config.metrics.is_splits or builder.rules.is_splits
    score = inception_score(logits, splits, builder.rules.is_shuffle)
    protocol = {
        "metric": "is", "splits": splits, "shuffle": builder.rules.is_shuffle,
        "activation": "softmax", **_classifier(builder),
    }  # fmt: skip
    detail = {
        "classes": logits.shape[1],
        "deviation": score.deviation,
        "size_bias": float(score.size_bias),
    }
    notes = [f"grows with n: more clips would add about {score.size_bias:.2g}; compare at equal n"]
    builder.add(
        Measurement(
            "is", score.value, len(pairs), HIGHER, {}, "", None, score.se, score.low,
            score.high, detail, notes,
        ),
        protocol,
    )  # fmt: skip


def _classifier(builder: ResultsBuilder) -> dict[str, Any]:
    extractor = builder.inputs.extractors["classify"]
    protocol = front_end(extractor)
    return {"classifier": protocol.pop("embedder"), **protocol}


def clap(builder: ResultsBuilder) -> None:
    """The CLAP score of the clips that have a caption."""
    inputs = builder.inputs
    pairs = [
        (item, features.rows[0], inputs.captions[item.id].caption)
        for item, features in inputs.ok("match", inputs.generated.items)
        if item.id in inputs.captions and features.rows is not None
    ]
    if not pairs:
        raise MetricError(
            "no clip has a caption: give --captions FILE with the ids of the clips, or captions"
            " in the shards or manifest"
        )
    texts = sorted({caption for _, _, caption in pairs})
    place = {text: k for k, text in enumerate(texts)}
    match = text_match(
        np.stack([row for _, row, _ in pairs]),
        np.stack([inputs.texts[text] for text in texts]),
        np.array([place[caption] for _, _, caption in pairs]),
    )
    for (item, _, _), value in zip(pairs, match.per_clip, strict=True):
        builder.per_clip[item.id]["clap"] = float(value)
    extractor = inputs.extractors["match"]
    protocol = {"metric": "clap", **front_end(extractor)}
    detail = {
        "texts": len(texts), "mismatched": match.mismatched, "r1": match.r1, "r10": match.r10,
        "difference": asdict(match.difference) if match.difference else None,
    }  # fmt: skip
    builder.mean("clap", match.matched, HIGHER, protocol, detail)


def pmos(builder: ResultsBuilder) -> None:
    """The mean p-MOS, and that of the reference beside it."""
    ours = builder.inputs.ok("pmos", builder.inputs.generated.items)
    values = [_pmos(features.values) for _, features in ours]
    if not values:
        raise MetricError("no clip has a p-MOS")
    for (item, _), value in zip(ours, values, strict=True):
        builder.per_clip[item.id]["pmos"] = value
    extractor = builder.inputs.extractors["pmos"]
    if not isinstance(extractor, PmosExtractor):
        raise TypeError(extractor)
    protocol = {
        "metric": "pmos",
        "model": extractor.model_id,
        "digest": extractor.weights,
        **extractor.params,
    }
    detail: dict[str, Any] = {"unit": "MOS, 1..5"}
    if builder.inputs.reference is not None:
        theirs = builder.inputs.ok("pmos", builder.inputs.reference.items)
        if theirs:
            detail["reference"] = asdict(mean_of(np.array([_pmos(f.values) for _, f in theirs])))
    builder.mean("pmos", mean_of(np.array(values)), HIGHER, protocol, detail)


def _pmos(values: dict[str, Any] | None) -> float:
    return float((values or {})["pmos"])
