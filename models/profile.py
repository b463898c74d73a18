"""Profiles: TOML files that choose a model for every role, known by name.

    embedded    what works with no network and no GPU (the defaults)
    paper       QAMA, LAION's CLAP, an audio LLM and an LLM under vLLM: docs/real-checkpoints.md

`--config paper` of every command that takes settings reads them, and `make curate MODELS=paper`. A
profile is of all three command lines: each takes the roles that it has, and leaves the rest. In a file
of the user's, a name that is not known is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..schemas.errors import ConfigError
from ..schemas.settings import override, read_toml

C = TypeVar("C")
PROFILES = Path(__file__).parent / "profiles"


def profiles() -> list[str]:
    """The names of the profiles."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def is_profile(path: Path) -> bool:
    """Whether `path` is a profile's name, and no file of the user's."""
    return str(path) in profiles() and not path.exists()


def profile_or_file(path: Path) -> Path:
    """The file of a profile where `path` is a profile's name and no file of the user's.

    Raises ConfigError naming the profiles where it is neither.
    """
    if is_profile(path):
        return PROFILES / f"{path}.toml"
    if not path.exists():
        raise ConfigError(
            f"{path}: no such configuration file, and no profile; there are {', '.join(profiles())}"
        )
    return path


def apply_profile(name: Path, config: C, roles: Mapping[str, str] | None = None) -> C:
    """`config` with what a profile says of the sections and settings that it has.

    roles: role in the profile -> the setting's name, where that is another one.
    Raises ConfigError where the profile says nothing of them.
    """
    content = read_toml(PROFILES / f"{name}.toml")
    applied = False
    for section, values in content.items():
        known = _names(getattr(config, section, None))
        values = {(roles or {}).get(role, role): value for role, value in values.items()}
        values = {role: value for role, value in values.items() if role in known}
        if values:
            config, applied = override(config, section, values), True
    if not applied:
        raise ConfigError(
            f"profile {name}: sets {', '.join(content)}, none of which this command has"
        )
    return config


def _names(section: Any) -> set[str]:
    return {f.name for f in dataclasses.fields(section)} if section is not None else set()
