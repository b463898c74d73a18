"""Numbers as they come in, what each clip's share of them is, and arrays for `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ...reports.statistics import Mean
from ...schemas.errors import MetricError
from ..config import Config
from ..features.extractors import EmbedderExtractor, Extractor
from .inputs_and_features import Inputs
from .protocol import PROTOCOLS, front_end_of, protocol_id
from .results import Absent, Measurement


class ResultsBuilder:
    """What the metrics of one evaluation put their numbers into."""

    def __init__(self, inputs: Inputs, config: Config) -> None:
        self.inputs, self.config = inputs, config
        self.rules = PROTOCOLS[config.metrics.protocol]
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

    def add(self, number: Measurement, protocol: Mapping[str, Any]) -> None:
        """A number and all that went into it."""
        protocol = {**protocol, "seconds": self.config.metrics.seconds}
        values = {**asdict(number), "protocol": protocol, "protocol_id": protocol_id(protocol)}
        self.numbers.append(Measurement(**values))

    def mean(
        self, name: str, mean: Mean, better: str, protocol: Mapping[str, Any],
        detail: Mapping[str, Any], notes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """A number that is a mean over clips."""
        self.add(
            Measurement(
                name, mean.value, mean.n, better, {}, "", None, mean.se, mean.low, mean.high,
                detail, notes,
            ),
            protocol,
        )  # fmt: skip


def front_end(extractor: Extractor) -> dict[str, Any]:
    """What of an embedder goes into a protocol id."""
    if not isinstance(extractor, EmbedderExtractor):
        raise TypeError(extractor)
    return front_end_of(extractor.model.named)
