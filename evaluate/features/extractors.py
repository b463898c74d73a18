"""Extractors: the listeners of an evaluation, and the states of the feature cache that they fill.

An extractor is a `Listener` (`pipeline/audio_pass.py`): a model, the table its rows go to, and how
its output becomes columns. On the CPU sounds are run one by one, so that no number depends on its
batch or on the workers; on a GPU as a batch, and numbers may differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from ...audio.sound import Sound
from ...models.lazy import LazyModel
from ...pipeline.audio_pass import Answer, Listener
from ...pipeline.dataset import fingerprint
from ...pipeline.job import Output
from ...schemas.arrow import name_of
from ...schemas.errors import AudioError, ModelError
from ...schemas.plugins import kinds
from ...schemas.tables import Pmos, Signal
from .embedders import embedder_kinds, table_of


class Extractor(Listener, Protocol):
    """A Listener of the feature cache. params: settings that name the state beside the model."""

    device: str

    @property
    def params(self) -> Mapping[str, Any]: ...


class _ModelExtractor:
    """An extractor around one model, opened at first use and never pickled."""

    version: int = 1

    def __init__(self, model: LazyModel) -> None:
        self.model, self.device = model, model.device

    @property
    def model_id(self) -> str:
        return self.model.identity[0]

    @property
    def weights(self) -> str:
        return self.model.identity[1]

    def open(self) -> None:
        self.model.load()


class EmbedderExtractor(_ModelExtractor):
    """An embedder's rows and logits. style: the protocol whose front end it follows."""

    def __init__(self, ref: str, device: str = "cpu", style: str = "native") -> None:
        super().__init__(LazyModel(ref, embedder_kinds, device, style=style))
        self.writes = table_of(ref)

    @property
    def params(self) -> Mapping[str, Any]:
        return dict(self.model.named.front_end)

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        return [_columns(e.rows, e.logits) for e in self.model.opened.embed(sounds)]


class PmosExtractor(_ModelExtractor):
    """The p-MOS of a clip."""

    writes: type = Pmos
    params: Mapping[str, Any] = {"pooling": "mean over windows"}

    def __init__(self, ref: str, device: str = "cpu") -> None:
        super().__init__(LazyModel(ref, pmos_kinds, device))

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        return [
            {"pmos": float(score)}
            if np.isfinite(score)
            else AudioError("no p-MOS: the sound is shorter than 1 s, or not finite")
            for score in self.model.opened.score(sounds)
        ]


class SignalExtractor:
    """What the samples show: silence, clipping, loudness. No model."""

    writes: type = Signal
    version: int = 1
    params: Mapping[str, Any] = {}
    model_id = weights = ""
    device = "cpu"

    def open(self) -> None:
        """Nothing to load."""

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        from ...audio.signal import measure

        return [asdict(measure(sound)) for sound in sounds]


def pmos_kinds() -> Mapping[str, Callable[..., Any]]:
    """The kinds of the role `pmos`."""
    from ...models.pmos.kinds import KINDS

    return kinds("pmos", KINDS)


def output_of(extractor: Extractor) -> Output:
    """The state of the cache that an extractor fills: model, weights and front end name it."""
    digest, about = fingerprint(
        name_of(extractor.writes), extractor.version, extractor.params, {}, extractor.model_id,
        extractor.weights,
    )  # fmt: skip
    return Output(extractor.writes, digest, about)


def _columns(rows: np.ndarray, logits: np.ndarray | None) -> Answer:
    if not np.isfinite(rows).all() or (logits is not None and not np.isfinite(logits).all()):
        return ModelError("the model gave NaN or infinity")
    rows = np.ascontiguousarray(rows, np.float32)
    return {
        "rows": len(rows),
        "embedding": rows.tobytes(),
        "logits": None if logits is None else np.asarray(logits, np.float32).tobytes(),
    }
