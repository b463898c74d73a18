"""The models of an evaluation, looked at before any clip is decoded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...models.ref import check_openers, resolve
from ..config import Config
from ..features.embedders import matcher_kinds, open_embedder
from ..features.extractors import pmos_kinds


def check_models(config: Config) -> None:
    """Refuse models that cannot be used, all that is wrong at once; no weights are loaded.

    Those alone that the metrics need. Raises ConfigError, WeightsMissing, ModelError.
    """
    models, metrics, style = config.models, config.metrics.metrics, config.metrics.protocol
    openers: dict[str, Callable[[], Any]] = {}
    if "fad" in metrics or "kad" in metrics:
        for ref in models.embedder:
            openers[f"embedder {ref}"] = partial(open_embedder, ref, "cpu", style)
    if "kl" in metrics or "is" in metrics:
        openers["classifier"] = partial(open_embedder, models.classifier, "cpu", style)
    if "clap" in metrics:
        openers["clap"] = partial(resolve, models.clap, matcher_kinds())
    if "pmos" in metrics:
        openers["pmos"] = partial(resolve, models.pmos, pmos_kinds())
    check_openers(openers, models.device)
