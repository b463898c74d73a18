"""ModelRef: the one string that chooses a model, `embedded` or `kind@where`.

    embedded                        the model that comes with the project
    none                            no model, where a role allows it
    qama@/ckpt/qama_full.pt         a checkpoint file
    clap@/models/larger_clap_music  a folder in Hugging Face's layout
    openai@http://host:8000/v1#name a server and the model's name there
    laion@FILE.pt?int16=true        options of a kind stand behind a question mark, joined by &

Each role has a plain dict from a kind's name to what opens it, in a module that is light to import
(`pmos/kinds.py`, `clap/kinds.py` and so on): a `Kind`, which says how its reference is written, or
any callable, as of a plug-in. `resolve` looks the kind up there. There is no fallback: an unknown
kind is a ConfigError naming the known. `check_refs` finds what is wrong with the references of all
roles before any work begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..schemas.errors import ConfigError, ModelError, QamdtError

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


@dataclass(frozen=True)
class Kind:
    """A kind of model in a role's dict: called with what stands behind the @, it opens the model.

    open: called with (where, **options); it looks for files, package and settings at once and loads
    weights at first use. usage: how the reference is written, `clap@FOLDER`. sentence: what it is.
    """

    open: Callable[..., Any]
    usage: str
    sentence: str

    def __call__(self, where: str = "", **options: Any) -> Any:
        """The model, opened. Raises ConfigError, WeightsMissing, ModelError."""
        return self.open(where, **options)


Kinds = Mapping[str, Callable[..., Any]]


def usages(kinds: Kinds) -> str:
    """How the references of a role are written: `embedded, clap@FOLDER, laion@FILE.pt`."""
    return ", ".join(getattr(kind, "usage", name) for name, kind in kinds.items())


def kinds_help(kinds: Kinds) -> list[tuple[str, str]]:
    """(usage, what it is) of every kind; of a plain callable its name and first line of text."""
    return [
        (
            getattr(kind, "usage", name),
            getattr(kind, "sentence", (kind.__doc__ or "").strip().partition("\n")[0]),
        )
        for name, kind in kinds.items()
    ]


def check_refs(refs: Mapping[str, str], kinds: Mapping[str, Kinds], device: str = "cpu") -> None:
    """Refuse, all at once, what can be seen to be wrong with models before any of them is used.

    refs: role -> reference. kinds: role -> the kinds that it knows. device: `auto`, `cpu`, `cuda`.
    Every reference is opened as far as looking for its files, its package and its settings goes; no
    weights are loaded and no server is asked. Raises what `check_openers` does.
    """
    check_openers({r: partial(resolve, ref, kinds[r]) for r, ref in refs.items()}, device)


def check_openers(openers: Mapping[str, Callable[[], Any]], device: str = "cpu") -> None:
    """Call all of `openers` (role -> what opens its model) and refuse what is wrong, all at once.

    Raises the error itself where there is one, ModelError or ConfigError with a line each where
    there are several.
    """
    errors: dict[str, QamdtError] = {}
    try:
        pick_device(device)
    except ConfigError as error:
        errors["device"] = error
    for role, opener in openers.items():
        try:
            opener()
        except QamdtError as error:
            errors[role] = error
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if errors:
        of_models = all(isinstance(error, ModelError) for error in errors.values())
        lines = [f"  {role}: {error}" for role, error in errors.items()]
        text = "\n".join([f"{len(errors)} of the models cannot be used:", *lines])
        raise (ModelError if of_models else ConfigError)(text)


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
