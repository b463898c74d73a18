"""What an evaluation is made of: sets opened, clips heard (or found in the cache), texts read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...models.ref import pick_device
from ...pipeline.dataset import Dataset
from ...pipeline.job import Job
from ...pipeline.runner import run
from ...schemas.call import Call as Call
from ...schemas.errors import ConfigError
from ..config import Config
from ..data.prompts import Prompt, PromptFile, read_prompts
from ..data.sets import ClipSet, Item, open_set
from ..features.cache import Found, read_back
from ..features.extract import ExtractJob, ReadJob, text_id
from ..features.extractors import (
    EmbedderExtractor,
    Extractor,
    PmosExtractor,
    SignalExtractor,
    output_of,
)
from ..metrics.reference_stats import Stats, read_stats

NEEDS_REFERENCE = ("fad", "kad", "kl")


@dataclass
class Inputs:
    """Sets and what was heard in them.

    heard: by ear's name (`embed:REF`, `classify:REF`, `match:REF`, `pmos`, `signal`), then by
    content. texts: unit vectors by text. prompts: by id.
    """

    generated: ClipSet
    reference: ClipSet | None
    stats: Stats | None
    prompts: PromptFile | None
    captions: dict[str, Prompt]
    extractors: dict[str, Extractor]
    heard: dict[str, dict[str, Found]] = field(default_factory=dict)
    texts: dict[str, np.ndarray] = field(default_factory=dict)
    reader: Any = None

    def found(self, extractor: str, item: Item) -> Found:
        """What an ear heard in a clip; its error where there is nothing."""
        if item.problem is not None:
            return Found(error=item.problem)
        return self.heard[extractor].get(item.content, Found(error="NotHeard: no row in the cache"))

    def ok(self, extractor: str, items: Sequence[Item]) -> list[tuple[Item, Found]]:
        """The clips that an ear heard, in order, with what it heard."""
        pairs = ((item, self.found(extractor, item)) for item in items)
        return [(item, found) for item, found in pairs if found.error is None]

    def reference_of(self, item: Item) -> str:
        """The id of the clip of the reference that a generated clip is paired with."""
        prompt = self.captions.get(item.id)
        return prompt.reference if prompt else item.id


def gather(
    generated: Path, reference: Path | None, captions: Path | None, config: Config, call: Call
) -> Inputs:
    """Open the sets and hear all that the metrics need. Raises ConfigError for what cannot be."""
    wanted = config.metrics.metrics
    lacking = [m for m in NEEDS_REFERENCE if m in wanted]
    if reference is None and lacking:
        raise ConfigError(
            f"{', '.join(lacking)} need a reference: give --reference DIR or .npz, or choose "
            f"other --metrics"
        )
    prompts = read_prompts(captions) if captions else None
    made = open_set(generated, call.limit, config.metrics.seconds)
    statistics = reference is not None and reference.suffix == ".npz"
    stats = read_stats(reference) if reference is not None and statistics else None
    if statistics and "kl" in wanted:
        raise ConfigError("kl pairs clips: a .npz holds none; give a folder, or leave kl out")
    theirs = None
    if reference is not None and not statistics:
        theirs = open_set(reference, None, config.metrics.seconds)
    known = {p.id: p for p in prompts.prompts} if prompts else _own_captions(made)
    found = Inputs(made, theirs, stats, prompts, known, extractors_for(config))
    extract(found, config, call)
    return found


def _own_captions(made: ClipSet) -> dict[str, Prompt]:
    """Captions that stand beside the clips themselves, in shards or a manifest."""
    return {i.id: Prompt(i.id, i.caption, i.id) for i in made.items if i.caption}


def extractors_for(config: Config) -> dict[str, Extractor]:
    """The ears that the metrics need, by name; one that serves two stands there twice."""
    models, wanted = config.models, config.metrics.metrics
    style, device = config.metrics.protocol, models.device
    extractors: dict[str, Extractor] = {}
    if "fad" in wanted or "kad" in wanted:
        extractors |= {
            f"embed:{ref}": EmbedderExtractor(ref, device, style) for ref in models.embedder
        }
    if "kl" in wanted or "is" in wanted:
        extractor = EmbedderExtractor(models.classifier, device, style)
        if not extractor.named.classes:
            raise ConfigError(
                f"classifier = {models.classifier!r} has no classes; give embedded or panns@FILE"
            )
        extractors["classify"] = extractor
    if "clap" in wanted:  # always whole clips: windows by the second are for FAD
        extractors["match"] = EmbedderExtractor(_as_embedder(models.clap), device, "native")
    if "pmos" in wanted:
        extractors["pmos"] = PmosExtractor(models.pmos, device)
    return {**extractors, "signal": SignalExtractor()}


def _as_embedder(ref: str) -> str:
    """A matcher's reference as the embedder that is its sound side."""
    if ref == "embedded":
        return "clap-mini"
    if ref.partition("@")[0] not in ("clap", "laion", "clap-mini", "tagtext"):
        raise ConfigError(f"clap = {ref!r}: expected embedded, tagtext, clap@FOLDER or laion@FILE")
    return ref


def extract(found: Inputs, config: Config, call: Call) -> None:
    """Hear and read what the cache does not hold, then read it all back."""
    cache = Dataset(Path(config.run.cache).expanduser())
    items = [*found.generated.good, *(found.reference.good if found.reference else [])]
    passes = _passes(found.extractors)
    with cache.lock():
        for extractors in passes:
            if call.retry_errors:
                for out in map(output_of, extractors):
                    cache.forget_errors(out.table, out.fingerprint)
            _run(ExtractJob(cache, extractors, tuple(items), config.run.batch), cache, config, call)
        if "match" in found.extractors and found.captions:
            _read_texts(found, cache, config, call)
    contents = [item.content for item in items]
    read: dict[tuple[str, str], dict[str, Found]] = {}
    for name, extractor in found.extractors.items():
        out = output_of(extractor)
        key = (out.table, out.fingerprint)
        if key not in read:
            read[key] = read_back(cache, out, contents)
        found.heard[name] = read[key]


def _passes(extractors: dict[str, Extractor]) -> list[tuple[Extractor, ...]]:
    """Ears in as few passes over the audio as tables allow: one state of a table a pass."""
    waiting = {
        (out.table, out.fingerprint): e for e in extractors.values() if (out := output_of(e))
    }
    passes = []
    while waiting:
        tables = {key[0]: key for key in reversed(waiting)}
        passes.append(tuple(waiting.pop(key) for key in sorted(tables.values())))
    return passes


def _read_texts(found: Inputs, cache: Dataset, config: Config, call: Call) -> None:
    texts = sorted({p.caption for p in found.captions.values()})
    job = ReadJob(cache, config.models.clap, tuple(texts), config.models.device)
    if call.retry_errors:
        cache.forget_errors(job.outputs[0].table, job.outputs[0].fingerprint)
    _run(job, cache, config, call)
    back = read_back(cache, job.outputs[0], [text_id(t) for t in texts])
    for text in texts:
        row = back[text_id(text)]
        if row.rows is None:
            raise ConfigError(f"the text {text[:80]!r} could not be read: {row.error}")
        found.texts[text] = row.rows[0]


def _run(job: Job, cache: Dataset, config: Config, call: Call) -> None:
    if not job.total():
        return
    pick_device(config.models.device)  # a GPU that is not there is told of before the work
    run(
        job, cache, config.run.workers, config.run.threads, config.run.ray_address, call.quiet
    )  # fmt: skip
