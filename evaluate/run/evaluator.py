"""The evaluation, from paths to results."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...schemas.settings import to_plain
from ..config import Config
from ..data.sets import ClipSet, Item
from ..features.cache import CachedFeatures
from .check import check_models
from .inputs_and_features import Call, Inputs, gather
from .measure import measure
from .protocol import PROTOCOLS
from .results import Results
from .results_builder import ResultsBuilder

PACKAGES = ("qamdt", "numpy", "scipy", "torch", "soxr", "soundfile")
SIGNAL = ("silence_ratio", "clipping_ratio", "loudness_lufs", "rms_dbfs", "peak_dbfs")


def evaluate(
    generated: Path,
    reference: Path | None = None,
    captions: Path | None = None,
    config: Config | None = None,
    call: Call | None = None,
    system: str | None = None,
) -> Results:
    """Evaluate a set of generated clips.

    generated, reference, captions: see `inputs`, `stats` and `prompts`. system: its name in tables;
    default: the folder's. Raises ConfigError for what cannot be used; a metric that cannot be made
    from what is there is in `absent`.
    """
    config, call = config or Config(), call or Call()
    check_models(config)
    inputs = gather(generated, reference, captions, config, call)
    builder = measure(inputs, config)
    protocol = PROTOCOLS[config.metrics.protocol]
    models = config.models
    departures = protocol.departures(models.embedder, models.classifier, models.clap)
    expected = _expected(inputs, config)
    flagged = _flags(inputs, config)
    return Results(
        system=system or generated.resolve().name,
        protocol=protocol.name,
        deviates=[*protocol.deviates, *departures],
        numbers=builder.numbers,
        absent=builder.absent,
        generated=_about(inputs.generated),
        reference=_about_reference(inputs),
        prompts=_about_prompts(inputs),
        missing=sorted(expected - {i.id for i in inputs.generated.items}) if expected else [],
        extra=_extra(inputs, expected),
        unreadable=_unreadable(inputs),
        flagged=[{"id": name, "flags": flags} for name, flags in flagged.items()],
        versions=_versions(),
        config=to_plain(config),
        clips=_clips(inputs, builder, flagged),
        vectors=builder.vectors,
    )


def _expected(inputs: Inputs, config: Config) -> set[str]:
    """The ids that should have been generated: those of the prompts, else, for KL, the reference's."""
    if inputs.prompts is not None:
        return {p.id for p in inputs.prompts.prompts}
    if inputs.reference is not None and "kl" in config.metrics.metrics:
        return {i.id for i in inputs.reference.items}
    return set()


def _extra(inputs: Inputs, expected: set[str]) -> list[str]:
    if not expected:
        return []
    return sorted({i.id for i in inputs.generated.items if i.problem is None} - expected)


def _unreadable(inputs: Inputs) -> list[dict[str, str]]:
    """Clips of both sets of which some extractor made nothing, with its reason."""
    rows = []
    for name, clips in (("generated", inputs.generated), ("reference", inputs.reference)):
        for item in clips.items if clips is not None else ():
            why = _why(inputs, item)
            if why is not None:
                rows.append({"set": name, "id": item.id, "path": item.path, "why": why})
    return rows


def _why(inputs: Inputs, item: Item) -> str | None:
    errors: dict[str, list[str]] = {}
    for extractor in inputs.extractors:
        error = inputs.features(extractor, item).error
        if error is not None:
            errors.setdefault(error, []).append(extractor)
    if not errors:
        return None
    if len(errors) == 1:
        (error, extractors) = next(iter(errors.items()))
        return (
            error
            if len(extractors) == len(inputs.extractors)
            else f"{', '.join(extractors)}: {error}"
        )
    return "; ".join(f"{', '.join(extractors)}: {error}" for error, extractors in errors.items())


def _flags(inputs: Inputs, config: Config) -> dict[str, list[str]]:
    """Generated clips that a number may be misled by."""
    flagged: dict[str, list[str]] = {}
    for item in inputs.generated.items:
        values = inputs.features("signal", item).values
        flags = []
        if values is not None and values["silence_ratio"] > config.metrics.max_silence:
            flags.append("silent")
        if values is not None and values["clipping_ratio"] > config.metrics.max_clipping:
            flags.append("clipped")
        if flags:
            flagged[item.id] = flags
    return flagged


def _clips(
    inputs: Inputs, builder: ResultsBuilder, flagged: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    return [
        _clip(inputs, item, builder.per_clip[item.id], flagged) for item in inputs.generated.items
    ]


def _clip(
    inputs: Inputs,
    item: Item,
    shares: Mapping[str, float],
    flagged: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    prompt = inputs.captions.get(item.id)
    signal: CachedFeatures = inputs.features("signal", item)
    why = _why(inputs, item)
    return {
        "id": item.id,
        "path": item.path,
        "row": item.row,
        "start_s": item.start_s,
        "duration_s": item.duration_s,
        "content": item.content,
        "caption": prompt.caption if prompt else None,
        "status": "ok" if why is None else "error",
        "why": why,
        **shares,
        **({k: signal.values[k] for k in SIGNAL} if signal.values else {}),
        "flags": list(flagged.get(item.id, [])),
    }


def _about(clips: ClipSet) -> dict[str, Any]:
    return {
        "source": clips.source,
        "clips": len(clips.items),
        "readable": len(clips.good),
        "digest": clips.digest,
        "ignored": dict(clips.ignored),
    }


def _about_reference(inputs: Inputs) -> dict[str, Any] | None:
    if inputs.reference is not None:
        return _about(inputs.reference)
    if inputs.stats is None:
        return None
    import hashlib

    moments = inputs.stats.gaussian.mean.tobytes() + inputs.stats.gaussian.scatter.tobytes()
    return {
        "source": inputs.stats.source,
        "clips": len(inputs.stats.contents) or None,
        "digest": hashlib.sha256(moments).hexdigest()[:16],
        "made_by": inputs.stats.about,
    }


def _about_prompts(inputs: Inputs) -> dict[str, Any] | None:
    if inputs.prompts is None:
        return None
    file = inputs.prompts
    return {"source": file.path, "kind": file.kind, "prompts": len(file.prompts)}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
