"""What an evaluation is made of: opened sets, features of clips and texts (computed or cached)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...models.ref import ModelRef, pick_device
from ...pipeline.dataset import Dataset
from ...pipeline.job import Job
from ...pipeline.runner import run
from ...schemas.call import Call as Call
from ...schemas.errors import ConfigError
from ..config import Config
from ..data.prompts import Prompt, PromptFile, read_prompts
from ..data.sets import ClipSet, Item, open_set
from ..features.cache import CachedFeatures, read_back
from ..features.embedders import matcher_kinds
from ..features.extract import ExtractJob, text_id, text_job
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
    """Sets and their features.

    captions: prompts by id of the generated clip. extractors: by name, `embed:REF`, `classify`,
    `match`, `pmos`, `signal`. cached: features by extractor, then by content. texts: unit vectors
    by text.
    """

    generated: ClipSet
    reference: ClipSet | None
    stats: Stats | None
    prompts: PromptFile | None
    captions: dict[str, Prompt]
    extractors: dict[str, Extractor]
    cached: dict[str, dict[str, CachedFeatures]] = field(default_factory=dict)
    texts: dict[str, np.ndarray] = field(default_factory=dict)

    def features(self, extractor: str, item: Item) -> CachedFeatures:
        """What an extractor made of a clip; its error where there is nothing."""
        if item.problem is not None:
            return CachedFeatures(error=item.problem)
        missing = CachedFeatures(error="NoFeatures: no row in the cache")
        return self.cached[extractor].get(item.content, missing)

    def ok(self, extractor: str, items: Sequence[Item]) -> list[tuple[Item, CachedFeatures]]:
        """The clips that an extractor could use, in order, with their features."""
        pairs = ((item, self.features(extractor, item)) for item in items)
        return [(item, features) for item, features in pairs if features.error is None]

    def reference_of(self, item: Item) -> str:
        """The id of the clip of the reference that a generated clip is paired with."""
        prompt = self.captions.get(item.id)
        return prompt.reference if prompt else item.id


def gather(
    generated: Path, reference: Path | None, captions: Path | None, config: Config, call: Call
) -> Inputs:
    """Open the sets and extract what the metrics need. Raises ConfigError for what cannot be used."""
    wanted = config.metrics.metrics
    lacking = [m for m in NEEDS_REFERENCE if m in wanted]
    if reference is None and lacking:
        raise ConfigError(
            f"{', '.join(lacking)} need a reference: give --reference DIR or .npz, or choose "
            f"other --metrics"
        )
    prompts = read_prompts(captions) if captions else None
    generated_set = open_set(generated, call.limit, config.metrics.seconds)
    statistics = reference is not None and reference.suffix == ".npz"
    stats = read_stats(reference) if reference is not None and statistics else None
    if statistics and "kl" in wanted:
        raise ConfigError("kl pairs clips: a .npz holds none; give a folder, or leave kl out")
    reference_set = None
    if reference is not None and not statistics:
        reference_set = open_set(reference, None, config.metrics.seconds)
    by_id = {p.id: p for p in prompts.prompts} if prompts else _own_captions(generated_set)
    inputs = Inputs(generated_set, reference_set, stats, prompts, by_id, extractors_for(config))
    extract(inputs, config, call)
    return inputs


def _own_captions(clips: ClipSet) -> dict[str, Prompt]:
    """Captions that stand beside the clips themselves, in shards or a manifest."""
    return {i.id: Prompt(i.id, i.caption, i.id) for i in clips.items if i.caption}


def extractors_for(config: Config) -> dict[str, Extractor]:
    """The extractors that the metrics need, by name; one that serves two metrics stands there twice."""
    models, wanted = config.models, config.metrics.metrics
    style, device = config.metrics.protocol, models.device
    extractors: dict[str, Extractor] = {}
    if "fad" in wanted or "kad" in wanted:
        extractors |= {
            f"embed:{ref}": EmbedderExtractor(ref, device, style) for ref in models.embedder
        }
    if "kl" in wanted or "is" in wanted:
        extractor = EmbedderExtractor(models.classifier, device, style)
        if not extractor.model.named.classes:
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
    """An audio-text model's reference as the embedder that is its audio side."""
    if ref == "embedded":
        return "clap-mini"
    return str(ModelRef.parse(ref, matcher_kinds()))


def extract(inputs: Inputs, config: Config, call: Call) -> None:
    """Compute the features that the cache does not hold, then read all of them back."""
    cache = Dataset(Path(config.run.cache).expanduser())
    items = [*inputs.generated.good, *(inputs.reference.good if inputs.reference else [])]
    passes = _passes(inputs.extractors)
    with cache.lock():
        for extractors in passes:
            if call.retry_errors:
                for out in map(output_of, extractors):
                    cache.forget_errors(out.table, out.fingerprint)
            _run(ExtractJob(cache, extractors, tuple(items), config.run.batch), cache, config, call)
        if "match" in inputs.extractors and inputs.captions:
            _embed_texts(inputs, cache, config, call)
    contents = [item.content for item in items]
    read: dict[tuple[str, str], dict[str, CachedFeatures]] = {}
    for name, extractor in inputs.extractors.items():
        out = output_of(extractor)
        key = (out.table, out.fingerprint)
        if key not in read:
            read[key] = read_back(cache, out, contents)
        inputs.cached[name] = read[key]


def _passes(extractors: dict[str, Extractor]) -> list[tuple[Extractor, ...]]:
    """Extractors in as few passes over the audio as tables allow: one state of a table a pass."""
    waiting = {
        (out.table, out.fingerprint): e for e in extractors.values() if (out := output_of(e))
    }
    passes = []
    while waiting:
        tables = {key[0]: key for key in reversed(waiting)}
        passes.append(tuple(waiting.pop(key) for key in sorted(tables.values())))
    return passes


def _embed_texts(inputs: Inputs, cache: Dataset, config: Config, call: Call) -> None:
    texts = sorted({p.caption for p in inputs.captions.values()})
    job = text_job(cache, config.models.clap, texts, config.models.device)
    if call.retry_errors:
        cache.forget_errors(job.outputs[0].table, job.outputs[0].fingerprint)
    _run(job, cache, config, call)
    back = read_back(cache, job.outputs[0], [text_id(t) for t in texts])
    for text in texts:
        row = back[text_id(text)]
        if row.rows is None:
            raise ConfigError(f"the text {text[:80]!r} could not be read: {row.error}")
        inputs.texts[text] = row.rows[0]


def _run(job: Job, cache: Dataset, config: Config, call: Call) -> None:
    if not job.total():
        return
    pick_device(config.models.device)  # a GPU that is not there is an error before the work
    run(
        job, cache, config.run.workers, config.run.threads, config.run.ray_address, call.quiet
    )  # fmt: skip
