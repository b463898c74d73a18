"""The models of a training, looked at before anything is encoded, trained or generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.clap.kinds import MATCHERS
from ..models.ref import Kinds, check_refs
from .codec.kinds import CODECS
from .codec.text_encoders import ENCODERS

KINDS: Mapping[str, Kinds] = {"codec": CODECS, "text_encoder": ENCODERS, "match": MATCHERS}


def check_models(models: Any, *roles: str) -> None:
    """Refuse models that cannot be used, all that is wrong at once; no weights are loaded.

    models: the section `models` of the settings. roles: those that the work needs.
    Raises ConfigError, WeightsMissing, ModelError.
    """
    check_refs({role: getattr(models, role) for role in roles}, KINDS, models.device)
