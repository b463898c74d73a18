"""The models of a training: their kinds, those of plug-ins among them, checked before the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.clap.kinds import MATCHERS
from ..models.ref import Kinds, check_refs, resolve
from ..schemas import plugins
from .codec.kinds import CODECS
from .codec.text_encoders import ENCODERS

KINDS: Mapping[str, Kinds] = {  # the built-in kinds
    "codec": CODECS,
    "text_encoder": ENCODERS,
    "match": MATCHERS,
}


def kinds_of(role: str) -> Kinds:
    """The kinds of a role, those of plug-ins among them."""
    return plugins.kinds(role, KINDS[role])


def open_model(models: Any, role: str, device: str = "cpu") -> Any:
    """The model of a role as the section `models` of the settings has it. Raises as `resolve` does."""
    return resolve(getattr(models, role), kinds_of(role), device=device)


def check_models(models: Any, *roles: str) -> None:
    """Refuse models that cannot be used, all that is wrong at once; no weights are loaded.

    models: the section `models` of the settings. roles: those that the work needs.
    Raises ConfigError, WeightsMissing, ModelError.
    """
    refs = {role: getattr(models, role) for role in roles}
    check_refs(refs, {role: kinds_of(role) for role in roles}, models.device)
