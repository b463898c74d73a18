"""Ears: the models that hear the clips of an evaluation, and the states of the cache they fill.

An ear is a model reference, the table its rows go to, and how its answer becomes columns. On the
CPU sounds are heard one by one, so that no number depends on its batch or on the workers; on a GPU
a batch is heard at once, and numbers may differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...models.ref import pick_device, resolve
from ...pipeline.dataset import fingerprint
from ...pipeline.job import Output
from ...schemas.errors import AudioError, ModelError
from ...schemas.tables import Pmos, Signal
from .embedders import Embedder, open_embedder, table_of

Answer = dict[str, Any] | Exception


@dataclass
class EmbedderExtractor:
    """An embedder's rows and logits. style: the protocol whose habits it follows."""

    ref: str
    device: str = "cpu"
    style: str = "native"
    version: int = 1

    @property
    def writes(self) -> type:
        return table_of(self.ref)

    @cached_property
    def named(self) -> Embedder:
        """The embedder as far as its name and habits, its weights not loaded."""
        return open_embedder(self.ref, "cpu", self.style)

    @cached_property
    def model(self) -> Embedder:
        return open_embedder(self.ref, pick_device(self.device), self.style)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.named.listens)

    def extract(self, sounds: Sequence[Sound]) -> list[Answer]:
        return [_columns(found.rows, found.logits) for found in self.model.embed(sounds)]

    def __getstate__(self) -> dict[str, Any]:
        return _without_models(self)


@dataclass
class PmosExtractor:
    """The p-MOS of a clip."""

    ref: str
    device: str = "cpu"
    version: int = 1
    writes: type = Pmos
    params: dict[str, Any] = field(default_factory=lambda: {"pooling": "mean over windows"})

    @cached_property
    def named(self) -> Any:
        return self._open("cpu")

    @cached_property
    def model(self) -> Any:
        return self._open(pick_device(self.device))

    def _open(self, device: str) -> Any:
        from ...models.pmos.kinds import KINDS

        return resolve(self.ref, KINDS, device=device)

    def extract(self, sounds: Sequence[Sound]) -> list[Answer]:
        return [
            {"pmos": float(score)}
            if np.isfinite(score)
            else AudioError("no p-MOS: the sound is shorter than 1 s, or not finite")
            for score in self.model.score(sounds)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return _without_models(self)


@dataclass
class SignalExtractor:
    """What the samples show: silence, clipping, loudness. No model."""

    version: int = 1
    writes: type = Signal
    params: dict[str, Any] = field(default_factory=dict)
    named: None = None
    model: None = None

    def extract(self, sounds: Sequence[Sound]) -> list[Answer]:
        from ...audio.signal import measure

        return [asdict(measure(sound)) for sound in sounds]


Extractor = EmbedderExtractor | PmosExtractor | SignalExtractor


def output_of(extractor: Extractor) -> Output:
    """The state of the cache that an ear fills: model, weights and way of listening name it."""
    from ...schemas.arrow import name_of

    named = extractor.named
    digest, about = fingerprint(
        name_of(extractor.writes), extractor.version, extractor.params, {},
        named.model_id if named else "", named.digest if named else "",
    )  # fmt: skip
    return Output(extractor.writes, digest, about)


def extract_all(extractor: Extractor, sounds: Sequence[Sound], together: bool) -> list[Answer]:
    """One answer a sound, in order. A sound that fails in a batch is heard again alone."""
    if together and len(sounds) > 1:
        try:
            return _extracted(extractor, sounds)
        except Exception:  # noqa: BLE001 - one by one below, each failure is told of its own sound
            pass
    return [_alone(extractor, sound) for sound in sounds]


def _alone(extractor: Extractor, sound: Sound) -> Answer:
    try:
        (answer,) = _extracted(extractor, [sound])
    except Exception as error:  # noqa: BLE001 - whatever a model raises is that row's error
        return error
    return answer


def _extracted(extractor: Extractor, sounds: Sequence[Sound]) -> list[Answer]:
    found = extractor.extract(sounds)
    if len(found) != len(sounds):
        raise RuntimeError(
            f"{type(extractor).__name__} gave {len(found)} answers to {len(sounds)} sounds"
        )
    return found


def _columns(rows: np.ndarray, logits: np.ndarray | None) -> Answer:
    if not np.isfinite(rows).all() or (logits is not None and not np.isfinite(logits).all()):
        return ModelError("the model gave NaN or infinity")
    rows = np.ascontiguousarray(rows, np.float32)
    return {
        "rows": len(rows),
        "embedding": rows.tobytes(),
        "logits": None if logits is None else np.asarray(logits, np.float32).tobytes(),
    }


def _without_models(extractor: Any) -> dict[str, Any]:
    return {k: v for k, v in extractor.__dict__.items() if k not in ("model", "named")}
