"""From features to numbers: every metric of the configuration, each in its own file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..config import Config
from .distances import distances
from .inputs_and_features import Inputs
from .results_builder import ResultsBuilder
from .scores import clap, inception, kl, pmos

SCORES: dict[str, Callable[[ResultsBuilder], None]] = {
    "kl": kl,
    "is": inception,
    "clap": clap,
    "pmos": pmos,
}


def measure(inputs: Inputs, config: Config) -> ResultsBuilder:
    """All metrics of `config`; one that cannot be made is absent, with the reason."""
    results = ResultsBuilder(inputs, config)
    wanted = config.metrics.metrics
    if names := [name for name in ("fad", "kad") if name in wanted]:
        for number, ref in enumerate(config.models.embedder):
            results.attempt(" and ".join(names), partial(distances, results, number, ref))
    for name in wanted:
        if name in SCORES:
            results.attempt(name, partial(SCORES[name], results))
    return results
