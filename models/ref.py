"""ModelRef: the one string that chooses a model, `embedded` or `kind@where`.

    embedded                        the model that comes with the project
    none                            no model, where a role allows it
    qama@/ckpt/qama_full.pt         a checkpoint file
    clap@/models/larger_clap_music  a folder in Hugging Face's layout
    openai@http://host:8000/v1#name a server and the model's name there
    laion@FILE.pt?int16=true        options of a kind stand behind a question mark, joined by &

Each role file ends with a plain dict from kind to the class (or function) that opens it; `resolve`
looks the kind up there. There is no fallback: an unknown kind is a ConfigError naming the known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..schemas.errors import ConfigError

Model = TypeVar("Model")
Option = bool | int | float | str
Options = Mapping[str, Option]

_KIND = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class ModelRef:
    """Which model: its kind, and where its weights are ("" for a kind that needs no place).

    `str(ref)` is the text that parses to it again.
    """

    kind: str
    where: str = ""

    @classmethod
    def parse(cls, text: str, kinds: Mapping[str, Any] | None = None) -> ModelRef:
        """The reference that `text` spells.

        kinds: when given, the kinds that the role knows; another one is refused.
        Raises ConfigError.
        """
        kind, at, where = text.strip().partition("@")
        if not _KIND.fullmatch(kind) or (at and not where):
            raise ConfigError(
                f"model {text!r} is not understood: give `embedded` or `kind@where`"
                + (f" with one of the kinds {_names(kinds)}" if kinds else "")
            )
        ref = cls(kind, where)
        if kinds is not None:
            _known(ref, kinds)
        return ref

    def __str__(self) -> str:
        return f"{self.kind}@{self.where}" if self.where else self.kind


def resolve(
    ref: ModelRef | str, kinds: Mapping[str, Callable[..., Model]], **options: Any
) -> Model:
    """The model that `ref` names, opened: `kinds[kind](where, **options)`.

    Raises ConfigError for a kind that is not in `kinds`, and whatever opening the model raises.
    """
    if isinstance(ref, str):
        ref = ModelRef.parse(ref, kinds)
    _known(ref, kinds)
    return kinds[ref.kind](ref.where, **options)


def pick_device(wish: str) -> str:
    """`cpu` or `cuda` for a wish of `auto`, `cpu` or `cuda`: auto is cuda where there is one.

    Raises ConfigError when cuda is asked for and torch sees none.
    """
    if wish == "cpu":
        return wish
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wish == "cuda":
        raise ConfigError("device = 'cuda': torch sees no GPU here; give cpu or auto")
    return "cpu"


def require_no_path(kind: str, where: str) -> None:
    """Refuse a place for a kind that has none: `embedded@x` is a mistake, not a wish."""
    if where:
        raise ConfigError(f"model {kind}@{where}: {kind!r} takes no `@...`; write {kind!r} alone")


def require_path(kind: str, where: str, what: str) -> str:
    """`where`, refused when empty; `what` says what belongs there."""
    if not where:
        raise ConfigError(f"model {kind!r} needs a place: write `{kind}@{what}`")
    return where


def with_options(kind: str, where: str, defaults: Options) -> tuple[str, Options]:
    """(the place, its options): `FILE?a=1&b=x` taken apart, every option as its default's type.

    defaults: every option that the kind has. Raises ConfigError for another one or a bad value.
    """
    place, mark, query = where.rpartition("?")
    if not mark or not re.fullmatch(r"\w+=[^&=]*(&\w+=[^&=]*)*", query):
        return where, dict(defaults)  # a question mark of the place itself
    found = dict(defaults)
    for name, _, value in (part.partition("=") for part in query.split("&")):
        if name not in defaults:
            raise ConfigError(
                f"model {kind}@{where}: no option {name!r}; there are {', '.join(defaults)}"
            )
        try:
            found[name] = _typed(value, defaults[name])
        except ValueError as error:
            raise ConfigError(
                f"model {kind}@{where}: {name}={value!r} is no {type(defaults[name]).__name__}"
            ) from error
    return place, found


def _typed(value: str, default: Option) -> Option:
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise ValueError(value)
        return value == "true"
    return type(default)(value)


def _known(ref: ModelRef, kinds: Mapping[str, Any]) -> None:
    if ref.kind not in kinds:
        raise ConfigError(f"model {str(ref)!r}: kind must be one of {_names(kinds)}")


def _names(kinds: Mapping[str, Any]) -> str:
    return ", ".join(kinds)
