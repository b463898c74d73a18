"""Settings: frozen dataclasses are the truth; TOML and flags are views of them.

A wing's configuration is a frozen dataclass whose fields are sections, each a frozen dataclass of
settings: the one place of its defaults. Precedence: dataclass < TOML file (`--config`) < flag.
`to_toml` prints what `from_toml` reads back to an equal configuration. A setting whose default is
None is off and is left out of the TOML.

    @dataclass(frozen=True)
    class FitConfig:
        steps: int = setting(100_000, "optimiser steps")

A setting that had another name says so (`was=`): the old name is read for a release, with a note,
and stays the setting's key in fingerprints (`params_of`).
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError
from .run_log import note

C = TypeVar("C")


def setting(
    default: Any, doc: str, choices: tuple[str, ...] = (), was: str = "", commas: bool = True
) -> Any:
    """A field with its default and the sentence that `--help` shows.

    was: its name in the release before; flags and TOML of that name are read, with a note.
    commas: whether a flag of several values is cut at commas; not where a value may hold one.
    """
    metadata = {"doc": doc, "choices": choices, "was": was, "commas": commas}
    return dataclasses.field(default=default, metadata=metadata)


def renamed(cls: type) -> dict[str, str]:
    """old name -> new name, of the settings of a section that had another name."""
    fields = dataclasses.fields(cls)
    return {old: f.name for f in fields if (old := f.metadata.get("was"))}


def params_of(config: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The settings of a section as parameters of a fingerprint: renamed ones by their old names.

    names: of those wanted, as they are now; None: all.
    """
    old = {new: was for was, new in renamed(type(config)).items()}
    values = dataclasses.asdict(config)
    return {old.get(name, name): values[name] for name in (values if names is None else names)}


def override(config: C, section: str, values: Mapping[str, Any]) -> C:
    """A copy of `config` with some settings of one section replaced.

    Raises ConfigError naming section, setting, value and what is possible.
    """
    sections = {f.name for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    if section not in sections:
        raise ConfigError(f"[{section}]: no such section; there are {', '.join(sorted(sections))}")
    old = getattr(config, section)
    clean = converted(type(old), values, f"[{section}] ")
    new = dataclasses.replace(old, **clean)
    return dataclasses.replace(config, **{section: new})  # type: ignore[type-var]


def configured(config: C, given: Mapping[str, Any], only: Sequence[str] = ()) -> C:
    """A copy of `config` with settings replaced, as a program gives them.

    given: by the setting's name where one section alone has it (`min_level=2`), or a section with
    a dict of its settings (`filter={"min_level": 2}`). only: the sections looked at; default: all.
    Raises ConfigError, near names included.
    """
    sections = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    homes: dict[str, list[str]] = {}
    for section, values in sections.items():
        if only and section not in only:
            continue
        for f in dataclasses.fields(values):
            homes.setdefault(f.name, []).append(section)
    for name, value in given.items():
        if name in sections and isinstance(value, Mapping):
            config = override(config, name, value)
        elif len(homes.get(name, ())) == 1:
            config = override(config, homes[name][0], {name: value})
        elif name in homes:
            ways = " or ".join(f"{section}={{{name!r}: ...}}" for section in homes[name])
            raise ConfigError(f"{name} is a setting of several sections: give {ways}")
        else:
            near = difflib.get_close_matches(name, [*homes, *sections], 3)
            hint = (
                f"did you mean {', '.join(near)}?" if near else f"sections: {', '.join(sections)}"
            )
            raise ConfigError(f"{name}: no such setting; {hint}")
    return config


def converted(cls: type, values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """`values` as the types that the dataclass `cls` declares. Raises ConfigError."""
    known = typing.get_type_hints(cls)
    old_names = renamed(cls)
    clean = {}
    for name, value in values.items():
        if name in old_names:
            note(f"{where}{name} is now called {old_names[name]}")
            if old_names[name] in values:
                raise ConfigError(f"{where}{name} and {old_names[name]} are one setting; give one")
            name = old_names[name]
        if name not in known:
            raise ConfigError(
                f"{where}{name}: no such setting; there are {', '.join(sorted(known))}"
            )
        clean[name] = _convert(f"{where}{name}", value, known[name])
    return clean


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a TOML file. Raises ConfigError."""
    import tomllib

    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError as e:
        raise ConfigError(f"{path}: no such configuration file") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{path} is not TOML: {e}") from e
    return in_sections(content, str(path))


def in_sections(content: Mapping[str, Any], source: str) -> dict[str, dict[str, Any]]:
    """`content`, if everything in it stands in a section. Raises ConfigError."""
    for section, values in content.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{source}: {section!r} stands outside a section like [ingest]")
    return dict(content)


def from_toml(path: Path, base: C) -> C:
    """The configuration of a TOML file, over `base`. Raises ConfigError."""
    config = base
    for section, values in read_toml(path).items():
        config = override(config, section, values)
    return config


def to_plain(config: Any) -> dict[str, dict[str, Any]]:
    """The sections as plain dicts; settings that are off are left out."""
    return {
        f.name: {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in dataclasses.asdict(getattr(config, f.name)).items()
            if v is not None
        }
        for f in dataclasses.fields(config)
    }


def to_toml(config: Any) -> str:
    """TOML that `from_toml` reads back to an equal configuration."""
    import tomli_w

    return tomli_w.dumps(to_plain(config))


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """The types that a declared type allows, None included."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if union else (hint,)


def _convert(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type that the field declares; an integer may stand for a float."""
    kinds = kinds_of(hint)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if typing.get_origin(kind) is tuple:
            if isinstance(value, list | tuple) and (items := _items(value, typing.get_args(kind))):
                return items[0]
        elif typing.get_origin(kind) is typing.Literal:
            if value in typing.get_args(kind):
                return value
        elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    raise ConfigError(f"{name} = {value!r}: expected {_wanted(kinds)}")


def _items(value: Sequence[Any], kinds: tuple[Any, ...]) -> tuple[tuple[Any, ...]] | None:
    """(the items as a tuple,), or None where one has the wrong type or their number is wrong."""
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        return None
    converted_items = []
    for item, kind in zip(value, kinds, strict=True):
        if kind is float and isinstance(item, int | float) and not isinstance(item, bool):
            converted_items.append(float(item))
        elif isinstance(item, kind) and not isinstance(item, bool):
            converted_items.append(item)
        else:
            return None
    return (tuple(converted_items),)


def _wanted(kinds: tuple[Any, ...]) -> str:
    if any(typing.get_origin(k) is typing.Literal for k in kinds):
        return "one of " + ", ".join(str(v) for k in kinds for v in typing.get_args(k))
    names = (
        str(k) if typing.get_origin(k) else getattr(k, "__name__", str(k))
        for k in kinds
        if k is not type(None)
    )
    return " or ".join(names)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ConfigError where `value` is none of `choices`."""
    if value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")


def at_least(name: str, value: float, low: float) -> None:
    """Raises ConfigError where `value` is below `low`."""
    if not value >= low:
        raise ConfigError(f"{name} = {value!r}: expected at least {low:g}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raises ConfigError where `value` lies outside of low..high."""
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value!r}: expected {low:g} to {high:g}")
