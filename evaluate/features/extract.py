"""The jobs of an evaluation: features of clips and of texts, into the cache.

What is in the cache is not computed again; what was computed before a run was stopped is in the
cache. One decode serves all extractors (`pipeline/audio_pass.py`); the runner
(`pipeline/runner.py`) works in this process or on Ray.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...audio.decode import decode_window
from ...audio.probe import probe
from ...audio.sound import Sound
from ...models.lazy import LazyModel
from ...models.ref import pick_device
from ...pipeline.audio_pass import Answer, AudioPass, as_row
from ...pipeline.dataset import Dataset, fingerprint
from ...pipeline.job import Output, Unit
from ...schemas.errors import AudioError, FileChanged
from ..data.sets import Item, shard_bytes, stamp_of
from .cache import TextFeatures, done_ids
from .embedders import matcher_kinds
from .extractors import Extractor, output_of

TEXTS_A_UNIT = 16


@dataclass
class ExtractJob(AudioPass):
    """A Job: every clip that some extractor has no row of, each content once.

    batch: clips in a unit.
    """

    cache: Dataset
    listeners: tuple[Extractor, ...]
    items: tuple[Item, ...]
    batch: int = 8
    name: str = "extract"
    outputs: tuple[Output, ...] = ()
    pending: list[dict[str, Any]] = field(default_factory=list)
    needed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.outputs = tuple(output_of(extractor) for extractor in self.listeners)
        done = [done_ids(self.cache, out) for out in self.outputs]
        seen: set[str] = set()
        for item in sorted(self.items, key=lambda i: (i.path, i.row or 0, i.start_s or 0.0)):
            due = {f"pending_{k}": item.content not in ids for k, ids in enumerate(done)}
            if any(due.values()) and item.content not in seen:
                seen.add(item.content)
                self.pending.append({**asdict(item), "clip_id": item.content, **due})
        self.needed = tuple(
            k for k in range(len(done)) if any(row[f"pending_{k}"] for row in self.pending)
        )

    def total(self) -> int:
        return len(self.pending)

    def units(self) -> Iterator[Unit]:
        yield from units_of(self.pending, self.batch)

    @property
    def together(self) -> bool:
        return any(pick_device(extractor.device) == "cuda" for extractor in self.listeners)

    def open(self) -> None:
        for number in self.needed:
            self.listeners[number].open()

    def decode(self, unit: Unit) -> Sequence[Sound | AudioError]:
        return [_decoded(row) for row in unit.rows]

    def __getstate__(self) -> dict[str, Any]:
        """Workers need extractors and outputs; the plan stays with the driver."""
        return {**self.__dict__, "items": (), "pending": []}


def units_of(rows: Sequence[dict[str, Any]], size: int) -> Iterator[Unit]:
    """Rows of a plan in units of `size`."""
    left = iter(rows)
    while block := tuple(itertools.islice(left, size)):
        yield Unit(block)


def _decoded(row: dict[str, Any]) -> Sound | AudioError:
    """The clip of a row, or why there is none."""
    try:
        if stamp_of(row["path"]) != row["stamp"]:
            raise FileChanged(f"{row['path']} changed while it was evaluated; run again")
        return decode_again(row)
    except AudioError as error:
        return error
    except OSError as error:
        return AudioError(f"{row['path']}: {error.strerror or error}")


def decode_again(clip: Mapping[str, Any]) -> Sound:
    """The sound of a clip: `path`, `row`, `start_s`, `duration_s`. Raises AudioError, OSError."""
    if clip["row"] is None:
        return sound_of(clip["path"], clip["start_s"], clip["duration_s"])
    with tempfile.NamedTemporaryFile(prefix="qamdt-", suffix=".audio") as file:
        file.write(shard_bytes(clip["path"], clip["row"]))
        file.flush()
        return sound_of(file.name, None, clip["duration_s"], f"{clip['path']}:{clip['row']}")


def sound_of(path: str, start_s: float | None, duration_s: float | None, name: str = "") -> Sound:
    """A stretch of a file: from `start_s` on, `duration_s` of it or what there is. AudioError."""
    start = start_s or 0.0
    length = probe(path).duration_s - start
    wanted = length if duration_s is None else min(duration_s, length)
    sound = decode_window(path, start, wanted)
    return Sound(sound.samples, sound.rate_hz, name=name or str(path))


@dataclass
class TextJob:
    """A Job: the embedding of every text that has none yet. A blank text is zeros."""

    cache: Dataset
    model: LazyModel
    texts: tuple[str, ...]
    name: str = "texts"
    outputs: tuple[Output, ...] = ()
    pending: list[dict[str, Any]] = field(default_factory=list)
    writes: type = TextFeatures

    def __post_init__(self) -> None:
        digest, about = fingerprint("read_texts", 1, {}, {}, self.model_id, self.weights)
        self.outputs = (Output(TextFeatures, digest, about),)
        done = done_ids(self.cache, self.outputs[0])
        self.pending = [
            {"clip_id": name, "text": text}
            for text in sorted(set(self.texts))
            if (name := text_id(text)) not in done
        ]

    @property
    def model_id(self) -> str:
        return self.model.identity[0]

    @property
    def weights(self) -> str:
        return self.model.identity[1]

    def total(self) -> int:
        return len(self.pending)

    def units(self) -> Iterator[Unit]:
        yield from units_of(self.pending, TEXTS_A_UNIT)

    def open(self) -> None:
        _ = self.model.opened

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        rows = [row for unit in units for row in unit.rows]
        return {TextFeatures: [as_row(self, r["clip_id"], self._embed(r["text"])) for r in rows]}

    def _embed(self, text: str) -> Answer:
        (vector,) = self.model.opened.embed_text([text])  # alone: padding would change its bits
        return {"rows": 1, "embedding": vector.astype("float32").tobytes(), "logits": None}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {TextFeatures: [as_row(self, row["clip_id"], error) for row in unit.rows]}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "texts": (), "pending": []}


def text_job(cache: Dataset, ref: str, texts: Sequence[str], device: str = "cpu") -> TextJob:
    """The job for these texts and the audio-text model that `ref` names."""
    return TextJob(cache, LazyModel(ref, matcher_kinds, device), tuple(texts))


def text_id(text: str) -> str:
    """The name of a text in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
