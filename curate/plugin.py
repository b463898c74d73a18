"""The decorators by which a file outside of the package adds to it; `schemas/plugins.py` loads it.

    @qamdt.listener("zcr", crossings="zero crossings a second, Hz")
    def zero_crossings(sound): ...           a table `zcr`, its columns in `clips_full`

    qamdt.filter_rule("noisy", "crossings > 8000", "more zero crossings than music has")

    @qamdt.pmos_model("mine")                `--pmos mine@WHERE`
    def open_mine(where, device): ...        gives a model with the methods of `PmosModel`

A decorator gives back what it stands on, unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..schemas import plugins
from ..schemas.arrow import row_class
from ..schemas.errors import ConfigError
from .quality.plugin_listener import WORD, PluginListener, checked_columns, source_sha256
from .quality.rules import RULES, Rule

T = TypeVar("T", bound=Callable[..., Any])

# What a model of each role must have; the Protocol of the role says more.
MODEL_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "pmos": ("model_id", "digest", "load", "score"),
    "match": ("model_id", "digest", "dim", "load", "embed_audio", "embed_text"),
    "tagger": ("model_id", "digest", "load", "names", "probabilities", "thresholds", "sigmoids"),
    "captioner": ("model_id", "digest", "caption"),
    "llm": ("model_id", "digest", "complete"),
    "codec": ("model_id", "digest", "channels", "scaling", "load", "encode", "decode", "vocode"),
    "text_encoder": ("model_id", "digest", "width"),
    "embedder": ("model_id", "digest", "classes", "front_end", "load", "embed"),
}


def listener(name: str, /, *, version: int = 1, **columns: str) -> Callable[[T], T]:
    """A function of a sound becomes a listener of `score`, with a table of its own.

    name: of the table, as `zcr`. columns: name and meaning of each column, with its unit; they are
    float64. version: raise it when the same sound gives other numbers, and the text of the function
    has not changed (something that it calls has).

    The function gets a `Sound` (samples float32 [channels, n], rate_hz) and gives a number where
    there is one column, else a dict; None for what cannot be measured. What it raises is the error
    of that clip's row. Of a class, `extract(sounds)` gives an answer a sound, in order; `open()`,
    where there is one, is called first in each worker, and `model_id` and `weights` name its model.

    Raises ConfigError where a name is taken or is none.
    """
    cls = row_class(name, version, checked_columns(name, columns))

    def decorate(made_of: T) -> T:
        plugin = PluginListener(cls, version, made_of, source_sha256(made_of))
        plugins.register("listener", name, plugin, made_of)
        return made_of

    return decorate


def listeners() -> dict[str, PluginListener]:
    """The plug-ins' listeners, by name. Raises ConfigError for one that no decorator made."""
    known = plugins.kinds("listener", {})
    for name, kind in known.items():
        if not isinstance(kind, PluginListener):
            raise ConfigError(f"listener {name!r}: decorate {kind!r} with @qamdt.listener")
    return known


def filter_rule(name: str, condition: str, sentence: str = "") -> Rule:
    """A rule of `filter`: the clips for which the SQL `condition` is true are dropped for `name`.

    condition: one expression over `clips_full`, as `crossings > 8000`; where it is null, nothing was
    measured, and the clip is kept. sentence: what the report says of the reason.
    Raises ConfigError where the name is taken or is none.
    """
    if not WORD.fullmatch(name) or name in {rule.name for rule in RULES}:
        raise ConfigError(
            f"filter rule {name!r}: expected a name of a-z, 0-9 and _ that no rule of qamdt has"
        )
    rule = Rule(name, condition, sentence)
    plugins.register("filter", name, rule, module=sys._getframe(1).f_globals["__name__"])
    return rule


def filter_rules() -> tuple[Rule, ...]:
    """The plug-ins' filter rules. Raises ConfigError for one that `filter_rule` did not make."""
    known = plugins.kinds("filter", {})
    for name, rule in known.items():
        if not isinstance(rule, Rule):
            raise ConfigError(f"filter rule {name!r}: make it by qamdt.filter_rule, not {rule!r}")
    return tuple(known.values())


def captioner(name: str) -> Callable[[T], T]:
    """A kind of captioner that hears, `--captioner NAME@WHERE`: see models/llm/audio_captioner.py."""
    return _model("captioner", name)


def embedder(name: str) -> Callable[[T], T]:
    """A kind of embedder, `--embedder NAME@WHERE`: see `Embedder` in evaluate/features/embedders.py."""
    return _model("embedder", name)


def pmos_model(name: str) -> Callable[[T], T]:
    """A kind of p-MOS model, `--pmos NAME@WHERE`: see `PmosModel` in models/pmos/base.py."""
    return _model("pmos", name)


def match_model(name: str) -> Callable[[T], T]:
    """A kind of audio-text model, `--match NAME@WHERE`: see `MatchModel` in models/clap/base.py."""
    return _model("match", name)


def tagger(name: str) -> Callable[[T], T]:
    """A kind of tagger, `--tagger NAME@WHERE`: see models/tags/tagger.py."""
    return _model("tagger", name)


def llm(name: str) -> Callable[[T], T]:
    """A kind of LLM, `--llm NAME@WHERE`: see `Llm` in models/llm/base.py."""
    return _model("llm", name)


def codec(name: str) -> Callable[[T], T]:
    """A kind of audio codec, `--codec NAME@WHERE`: see `Codec` in train/codec/base.py."""
    return _model("codec", name)


def text_encoder(name: str) -> Callable[[T], T]:
    """A kind of text encoder: see `TextEncoder` in train/codec/text_encoders.py."""
    return _model("text_encoder", name)


def _model(role: str, name: str) -> Callable[[T], T]:
    """Register a function or class `(where, device) -> model` as a kind of a role.

    where: what stands behind the `@`, "" where nothing does. device: cpu or cuda.
    Raises ConfigError where the name is taken; opening a model that lacks a member of its role, too.
    """

    def decorate(opens: T) -> T:
        def open_kind(where: str, device: str = "cpu", **_: Any) -> Any:
            model = opens(where, device)
            if missing := [m for m in MODEL_MEMBERS[role] if m not in dir(model)]:
                raise ConfigError(
                    f"{role} {name!r} of {opens.__module__} gave {type(model).__name__} without "
                    f"{', '.join(missing)}; a {role} has {', '.join(MODEL_MEMBERS[role])}"
                )
            return model

        open_kind.__doc__ = opens.__doc__
        plugins.register(role, name, open_kind, opens)
        return opens

    return decorate
