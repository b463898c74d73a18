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
from ..features.cache import Found
from .inputs_and_features import Call, Material, gather
from .measure import measure
from .protocol import PROTOCOLS
from .results import Results
from .results_builder import Measured

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
    material = gather(generated, reference, captions, config, call)
    measured = measure(material, config)
    protocol = PROTOCOLS[config.metrics.protocol]
    models = config.models
    departures = protocol.departures(models.embedder, models.classifier, models.clap)
    expected = _expected(material, config)
    flagged = _flags(material, config)
    return Results(
        system=system or generated.resolve().name,
        protocol=protocol.name,
        deviates=[*protocol.deviates, *departures],
        numbers=measured.numbers,
        absent=measured.absent,
        generated=_about(material.generated),
        reference=_about_reference(material),
        prompts=_about_prompts(material),
        missing=sorted(expected - {i.id for i in material.generated.items}) if expected else [],
        extra=_extra(material, expected),
        unreadable=_unreadable(material),
        flagged=[{"id": name, "flags": flags} for name, flags in flagged.items()],
        versions=_versions(),
        config=to_plain(config),
        clips=_clips(material, measured, flagged),
        vectors=measured.vectors,
    )


def _expected(material: Material, config: Config) -> set[str]:
    """The ids that should have been generated: those of the prompts, else, for KL, the reference's."""
    if material.prompts is not None:
        return {p.id for p in material.prompts.prompts}
    if material.reference is not None and "kl" in config.metrics.metrics:
        return {i.id for i in material.reference.items}
    return set()


def _extra(material: Material, expected: set[str]) -> list[str]:
    if not expected:
        return []
    return sorted({i.id for i in material.generated.items if i.problem is None} - expected)


def _unreadable(material: Material) -> list[dict[str, str]]:
    """Clips of both sets of which some ear made nothing, with its reason."""
    made = []
    for name, clips in (("generated", material.generated), ("reference", material.reference)):
        for item in clips.items if clips is not None else ():
            why = _why(material, item)
            if why is not None:
                made.append({"set": name, "id": item.id, "path": item.path, "why": why})
    return made


def _why(material: Material, item: Item) -> str | None:
    errors: dict[str, list[str]] = {}
    for ear in material.ears:
        error = material.found(ear, item).error
        if error is not None:
            errors.setdefault(error, []).append(ear)
    if not errors:
        return None
    if len(errors) == 1:
        (error, ears) = next(iter(errors.items()))
        return error if len(ears) == len(material.ears) else f"{', '.join(ears)}: {error}"
    return "; ".join(f"{', '.join(ears)}: {error}" for error, ears in errors.items())


def _flags(material: Material, config: Config) -> dict[str, list[str]]:
    """Generated clips that a number may be misled by."""
    found: dict[str, list[str]] = {}
    for item in material.generated.items:
        values = material.found("signal", item).values
        flags = []
        if values is not None and values["silence_ratio"] > config.metrics.max_silence:
            flags.append("silent")
        if values is not None and values["clipping_ratio"] > config.metrics.max_clipping:
            flags.append("clipped")
        if flags:
            found[item.id] = flags
    return found


def _clips(
    material: Material, measured: Measured, flagged: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    return [
        _clip(material, item, measured.per_clip[item.id], flagged)
        for item in material.generated.items
    ]


def _clip(
    material: Material,
    item: Item,
    shares: Mapping[str, float],
    flagged: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    prompt = material.captions.get(item.id)
    signal: Found = material.found("signal", item)
    why = _why(material, item)
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


def _about_reference(material: Material) -> dict[str, Any] | None:
    if material.reference is not None:
        return _about(material.reference)
    if material.stats is None:
        return None
    import hashlib

    moments = material.stats.gaussian.mean.tobytes() + material.stats.gaussian.scatter.tobytes()
    return {
        "source": material.stats.source,
        "clips": len(material.stats.contents) or None,
        "digest": hashlib.sha256(moments).hexdigest()[:16],
        "made_by": material.stats.about,
    }


def _about_prompts(material: Material) -> dict[str, Any] | None:
    if material.prompts is None:
        return None
    found = material.prompts
    return {"source": found.path, "kind": found.kind, "prompts": len(found.prompts)}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
