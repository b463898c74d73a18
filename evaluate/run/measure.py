"""From what was heard to numbers: every metric that was asked for, each in its own file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..config import Config
from .distances import distances
from .inputs_and_features import Material
from .results_builder import Measured
from .scores import clap, inception, kl, pmos

SCORES: dict[str, Callable[[Measured], None]] = {
    "kl": kl,
    "is": inception,
    "clap": clap,
    "pmos": pmos,
}


def measure(material: Material, config: Config) -> Measured:
    """All metrics of `config`; one that cannot be made is absent, with the reason."""
    measured = Measured(material, config)
    wanted = config.metrics.metrics
    if names := [name for name in ("fad", "kad") if name in wanted]:
        for number, ref in enumerate(config.models.embedder):
            measured.attempt(" and ".join(names), partial(distances, measured, number, ref))
    for name in wanted:
        if name in SCORES:
            measured.attempt(name, partial(SCORES[name], measured))
    return measured
