"""The roles of models in a curation: which kinds each knows, and whether the settings can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..models.clap.kinds import MATCHERS
from ..models.lazy import LazyModel
from ..models.llm.kinds import LLMS
from ..models.pmos.kinds import KINDS
from ..models.ref import Kinds, check_refs, usages
from ..models.tags.kinds import TAGGERS
from ..schemas import plugins
from .captions.kinds import CAPTIONERS

ROLES: Mapping[str, Kinds] = {  # the built-in kinds
    "pmos": KINDS,
    "match": MATCHERS,
    "tagger": TAGGERS,
    "captioner": CAPTIONERS,
    "llm": LLMS,
}
OF_LISTENER = {"pmos": "pmos", "clap": "match", "tags": "tagger"}  # listener -> role of its model


def kinds_of(role: str) -> Kinds:
    """The kinds of a role, those of plug-ins among them."""
    return plugins.kinds(role, ROLES[role])


def lazy(models: Any, role: str) -> LazyModel:
    """The model of a role as the section `models` of the settings has it, not opened yet."""
    return LazyModel(getattr(models, role), partial(kinds_of, role), models.device)


def help_of(role: str, name: str) -> str:
    """The help text of a role's setting. name: what the role is called."""
    return f"{name}: {usages(ROLES[role])}"


def check_models(models: Any, roles: Sequence[str]) -> None:
    """Refuse models that cannot be used, all that is wrong at once, before the work begins.

    models: the section `models` of the settings. roles: those that the work needs.
    Raises ConfigError, WeightsMissing, ModelError: see `check_refs`.
    """
    refs = {role: getattr(models, role) for role in roles}
    check_refs(refs, {role: kinds_of(role) for role in roles}, models.device)
