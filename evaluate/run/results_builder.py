"""Numbers as they come in, what each clip's share of them is, and arrays for `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ...schemas.errors import MetricError
from ..config import Config
from ..features.extractors import EmbedderExtractor, Extractor
from ..metrics.intervals import Mean
from .inputs_and_features import Inputs
from .protocol import PROTOCOLS, listening, protocol_id
from .results import Absent, Measurement


class ResultsBuilder:
    """What the metrics of one evaluation put their numbers into."""

    def __init__(self, inputs: Inputs, config: Config) -> None:
        self.inputs, self.config = inputs, config
        self.protocol = PROTOCOLS[config.metrics.protocol]
        self.numbers: list[Measurement] = []
        self.absent: list[Absent] = []
        self.per_clip: dict[str, dict[str, float]] = {i.id: {} for i in inputs.generated.items}
        self.vectors: dict[str, np.ndarray] = {}

    def attempt(self, name: str, step: Callable[[], None]) -> None:
        """Make a number; one that cannot be made is absent, with the reason."""
        try:
            step()
        except MetricError as error:
            self.absent.append(Absent(name, str(error)))

    def add(self, number: Measurement, told: Mapping[str, Any]) -> None:
        """A number and all that went into it."""
        told = {**told, "seconds": self.config.metrics.seconds}
        values = {**asdict(number), "protocol": told, "protocol_id": protocol_id(told)}
        self.numbers.append(Measurement(**values))

    def mean(
        self, name: str, found: Mean, better: str, told: Mapping[str, Any],
        detail: Mapping[str, Any], notes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """A number that is a mean over clips."""
        self.add(
            Measurement(
                name, found.value, found.n, better, {}, "", None, found.se, found.low, found.high,
                detail, notes,
            ),
            told,
        )  # fmt: skip


def listening_of(extractor: Extractor) -> dict[str, Any]:
    """What of an embedder's ear goes into a protocol id."""
    if not isinstance(extractor, EmbedderExtractor):
        raise TypeError(extractor)
    return listening(extractor.named)
