"""Profiles: TOML files that choose a model for every role, known by name.

    embedded    what works with no network and no GPU (the defaults)
    paper       QAMA, LAION's CLAP, an audio LLM and an LLM under vLLM: docs/real-checkpoints.md

`qamdt-curate --config paper` and `make curate MODELS=paper` read them.
"""

from __future__ import annotations

from pathlib import Path

PROFILES = Path(__file__).parent / "profiles"


def profiles() -> list[str]:
    """The names of the profiles."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def profile_or_file(path: Path) -> Path:
    """The file of a profile where `path` is a profile's name and no file of the user's."""
    known = PROFILES / f"{path}.toml"
    return known if not path.exists() and str(path) in profiles() else path
