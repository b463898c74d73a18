"""The listeners of the score station: p-MOS, signal, embedding, tags, tempo and key.

Each is a model (or a measurement) and the columns it fills. A model is opened where it is used: in
the driver only as far as its name and its weights' digest are needed for the fingerprint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ...audio.sound import Sound
from ...models.lazy import LazyModel
from ...pipeline.audio_pass import Answer, ListenJob
from ...pipeline.dataset import Dataset
from ...pipeline.job import Output, output
from ...schemas.errors import AudioError, ModelError
from ...schemas.tables import Clap, Music, Pmos, Signal, Tags
from ..config import ModelsConfig, ScoreConfig
from ..roles import kinds_of

TOP_TAGS = 20


class _ModelListener:
    """A listener around one model, opened at first use and never pickled."""

    writes: ClassVar[type]
    version: ClassVar[int]

    role: ClassVar[str]

    def __init__(self, ref: str, device: str = "cpu") -> None:
        self._lazy = LazyModel(ref, partial(kinds_of, self.role), device)

    @property
    def model(self) -> Any:
        """The model, opened at first use."""
        return self._lazy.opened

    @property
    def model_id(self) -> str:
        return self._lazy.identity[0]

    @property
    def weights(self) -> str:
        return self._lazy.identity[1]

    def open(self) -> None:
        self._lazy.load()


class PmosListener(_ModelListener):
    """Pseudo MOS of the whole clip, 1..5, 5 is best (QA-MDT, data section)."""

    writes = Pmos
    version = 1
    role = "pmos"

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        return [_number("pmos", s, "a p-MOS") for s in self.model.score(sounds)]


class ClapListener(_ModelListener):
    """Audio embedding of the joint audio-text model, a unit vector stored as float16."""

    writes = Clap
    version = 1
    role = "match"

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        vectors = self.model.embed_audio(sounds).astype(np.float16)
        return [
            {"embedding": v} if np.isfinite(v).all() else ModelError("the embedding is not finite")
            for v in vectors
        ]


class TagsListener(_ModelListener):
    """The most probable tags of a tagger, with their probabilities."""

    writes = Tags
    version = 1
    role = "tagger"

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        return [self._top(p) for p in self.model.probabilities(sounds)]

    def _top(self, p: np.ndarray) -> Answer:
        if not np.isfinite(p).all():
            return ModelError("the tagger gave no finite probabilities")
        best = np.argsort(-p, kind="stable")[:TOP_TAGS]
        return {
            "tag_names": [self.model.names[i] for i in best],
            "tag_probabilities": [float(p[i]) for i in best],
        }


class _Measurement:
    """A listener without a model."""

    model_id = ""
    weights = ""

    def open(self) -> None:
        """Measure a second of noise: what is imported or compiled at first use is here afterwards."""
        noise = np.random.default_rng(0).normal(0, 0.1, (2, 22050)).astype(np.float32)
        self.extract([Sound(noise, 22050)])

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        raise NotImplementedError


class SignalListener(_Measurement):
    """What the samples show: levels, silence, clipping, bandwidth, loudness, a hash."""

    writes = Signal
    version = 1

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        from ...audio.signal import measure

        return [_each(s, lambda s: dataclasses.asdict(measure(s))) for s in sounds]


class MusicListener(_Measurement):
    """Tempo and key by librosa."""

    writes = Music
    version = 1

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        from ...models.tags.tempo_key import estimate_tempo_key

        return [_each(s, lambda s: dataclasses.asdict(estimate_tempo_key(s))) for s in sounds]


def score_job(
    dataset: Dataset, config: ScoreConfig, models: ModelsConfig, limit: int | None = None
) -> ListenJob:
    """The listening pass of the listeners that the configuration names; of all, and of those of
    plug-ins, where it names none."""
    from ..plugin import listeners as plugin_listeners

    makers: dict[str, Callable[[], Any]] = {
        "pmos": lambda: PmosListener(models.pmos, models.device),
        "signal": SignalListener,
        "clap": lambda: ClapListener(models.match, models.device),
        "tags": lambda: TagsListener(models.tagger, models.device),
        "music": MusicListener,
    }
    plugged = plugin_listeners()
    names = config.only or (*makers, *plugged)
    listeners = tuple(plugged[n] if n in plugged else makers[n]() for n in names)
    outputs: tuple[Output, ...] = tuple(
        output(
            dataset, x.writes, x.version, getattr(x, "params", {}), ["clips"], x.model_id, x.weights
        )
        for x in listeners
    )
    return ListenJob(dataset, listeners, outputs, limit)


def _each(sound: Sound, measure: Callable[[Sound], Answer]) -> Answer:
    try:
        return measure(sound)
    except AudioError as error:
        return error


def _number(column: str, value: float, what: str) -> Answer:
    if not np.isfinite(value):
        return ModelError(f"the model gave no finite number for {what}; is the clip long enough?")
    return {column: float(value)}
