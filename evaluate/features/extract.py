"""The jobs of an evaluation: clips that are heard, texts that are read, into the cache.

What is in the cache is not heard again; what was heard before a run was stopped is in the cache.
One decode serves all ears. The runner (`pipeline/runner.py`) works in this process or on Ray.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ...audio.decode import decode_window
from ...audio.probe import probe
from ...audio.sound import Sound
from ...models.ref import pick_device, resolve
from ...pipeline.dataset import Dataset, fingerprint
from ...pipeline.job import Output, Unit, error_columns
from ...schemas.errors import AudioError, FileChanged
from ..data.sets import Item, shard_bytes, stamp_of
from .cache import ReadText, done_ids
from .extractors import Answer, Extractor, extract_all, output_of

TEXTS_AT_ONCE = 16


@dataclass
class ExtractJob:
    """A Job: hears every clip that some ear has not heard. batch: clips in a unit."""

    cache: Dataset
    extractors: tuple[Extractor, ...]
    items: tuple[Item, ...]
    batch: int = 8
    name: str = "hear"
    outputs: tuple[Output, ...] = ()
    pending: list[dict[str, Any]] = field(default_factory=list)
    needed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.outputs = tuple(output_of(extractor) for extractor in self.extractors)
        done = [done_ids(self.cache, out) for out in self.outputs]
        seen: set[str] = set()
        for item in sorted(self.items, key=lambda i: (i.path, i.row or 0, i.start_s or 0.0)):
            due = [k for k, ids in enumerate(done) if item.content not in ids]
            if due and item.content not in seen:
                seen.add(item.content)
                self.pending.append({**asdict(item), "clip_id": item.content, "due": due})
        self.needed = tuple(sorted({k for row in self.pending for k in row["due"]}))

    def total(self) -> int:
        return len(self.pending)

    def units(self) -> Iterator[Unit]:
        rows = iter(self.pending)
        while block := tuple(itertools.islice(rows, self.batch)):
            yield Unit(block)

    def open(self) -> None:
        for number in self.needed:
            model = self.extractors[number].model
            if model is not None:
                model.load()

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        made: dict[type, list[Any]] = {extractor.writes: [] for extractor in self.extractors}
        for unit in units:
            heard = [_decoded(row) for row in unit.rows]
            for number, extractor in enumerate(self.extractors):
                due = [k for k, row in enumerate(unit.rows) if number in row["due"]]
                sounds = [s for k in due if isinstance(s := heard[k], Sound)]
                answers = iter(extract_all(extractor, sounds, self._together))
                for k in due:
                    sound = heard[k]
                    answer = sound if isinstance(sound, Exception) else next(answers)
                    made[extractor.writes].append(_row(extractor, unit.rows[k]["clip_id"], answer))
        return made

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {
            extractor.writes: [
                _row(extractor, row["clip_id"], error) for row in unit.rows if number in row["due"]
            ]
            for number, extractor in enumerate(self.extractors)
        }

    @cached_property
    def _together(self) -> bool:
        return any(
            pick_device(getattr(extractor, "device", "cpu")) == "cuda"
            for extractor in self.extractors
        )

    def __getstate__(self) -> dict[str, Any]:
        """Workers need ears and outputs; the plan stays with the driver."""
        return {**self.__dict__, "items": (), "pending": []}


def _row(extractor: Extractor, clip_id: str, answer: Answer) -> Any:
    return _filled(extractor.writes, clip_id, extractor.named, answer)


def _filled(cls: type, clip_id: str, model: Any, answer: Answer) -> Any:
    about = {"model_id": model.model_id, "weights": model.digest} if model is not None else {}
    told = error_columns(answer) if isinstance(answer, Exception) else answer
    return cls(clip_id=clip_id, **about, **told)


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
class ReadJob:
    """A Job: reads every text that the audio-text model has not read. A blank text is zeros."""

    cache: Dataset
    ref: str
    texts: tuple[str, ...]
    device: str = "cpu"
    name: str = "read"
    outputs: tuple[Output, ...] = ()
    pending: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        digest, about = fingerprint(
            "read_texts", 1, {}, {}, self.named.model_id, self.named.digest
        )  # fmt: skip
        self.outputs = (Output(ReadText, digest, about),)
        done = done_ids(self.cache, self.outputs[0])
        self.pending = [
            {"clip_id": name, "text": text}
            for text in sorted(set(self.texts))
            if (name := text_id(text)) not in done
        ]

    @cached_property
    def named(self) -> Any:
        from ...models.clap.kinds import MATCHERS

        return resolve(self.ref, MATCHERS)

    @cached_property
    def model(self) -> Any:
        from ...models.clap.kinds import MATCHERS

        return resolve(self.ref, MATCHERS, device=pick_device(self.device))

    def total(self) -> int:
        return len(self.pending)

    def units(self) -> Iterator[Unit]:
        rows = iter(self.pending)
        while block := tuple(itertools.islice(rows, TEXTS_AT_ONCE)):
            yield Unit(block)

    def open(self) -> None:
        _ = self.model

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        rows = [row for unit in units for row in unit.rows]
        return {ReadText: [_filled(ReadText, r["clip_id"], self.named, self._one(r)) for r in rows]}

    def _one(self, row: dict[str, Any]) -> Answer:
        (vector,) = self.model.embed_text([row["text"]])  # alone: padding would change its bits
        return {"rows": 1, "embedding": vector.astype("float32").tobytes(), "logits": None}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        rows = [_filled(ReadText, row["clip_id"], self.named, error) for row in unit.rows]
        return {ReadText: rows}

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("named", "model", "pending", "texts")
        return {k: v for k, v in self.__dict__.items() if k not in left_out} | {
            "texts": (), "pending": [],
        }  # fmt: skip


def text_id(text: str) -> str:
    """The name of a text in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
