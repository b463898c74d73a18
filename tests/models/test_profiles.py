"""models/profiles: they parse, read back, name kinds that exist, and are known by name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qamdt.curate.captions.captioners import KINDS as JOBS
from qamdt.curate.cli import app
from qamdt.curate.config import Config, from_toml, to_toml
from qamdt.curate.roles import ROLES
from qamdt.models.llm.kinds import LLMS
from qamdt.models.pmos.kinds import KINDS
from qamdt.models.profile import PROFILES, profile_or_file, profiles
from qamdt.models.ref import ModelRef, kinds_help
from qamdt.schemas.errors import ConfigError

CAPTIONERS = ROLES["captioner"]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["embedded", "paper"])
def test_a_profile_is_a_configuration(name: str, tmp_path: Path) -> None:
    """Every role chosen, of a kind that the role knows; shown, it reads back the same."""
    config = from_toml(Path(name))
    chosen = tomllib.loads((PROFILES / f"{name}.toml").read_text())["models"]
    assert set(chosen) == {*ROLES, "device"}
    for role, kinds in ROLES.items():
        assert ModelRef.parse(getattr(config.models, role), kinds)
    shown = CliRunner().invoke(app, ["run", "x", "y", "--config", name, "--show-config"])
    assert shown.stdout == to_toml(config)
    assert (shown.exit_code, name) in {(0, "embedded"), (1, "paper")}  # its weights are not here
    (tmp_path / "again.toml").write_text(shown.stdout)
    assert from_toml(tmp_path / "again.toml") == config


def test_embedded_is_the_defaults() -> None:
    assert from_toml(Path("embedded")) == Config()
    assert profiles() == ["embedded", "paper"]


def test_a_file_of_the_users_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert profile_or_file(Path("paper")) == PROFILES / "paper.toml"
    (tmp_path / "paper").write_text("[models]\nllm = 'none'\n")
    assert from_toml(Path("paper")).models.llm == "none"
    with pytest.raises(ConfigError, match="no such configuration file"):
        from_toml(Path("papers"))


def test_models_list_names_the_kinds_of_every_role() -> None:
    shown = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    lines = [" ".join(text.split()) for text in shown.stdout.splitlines()]
    for role, kinds in ROLES.items():
        (first, *more) = kinds_help(kinds)
        at = lines.index(" ".join((role, *first)))
        assert lines[at + 1 : at + 1 + len(more)] == [" ".join(kind) for kind in more]


def test_every_captioner_that_is_listed_has_a_job() -> None:
    assert JOBS.keys() == CAPTIONERS.keys()


def test_the_page_on_checkpoints_names_what_the_profile_uses() -> None:
    page = (ROOT / "docs" / "real-checkpoints.md").read_text(encoding="utf-8")
    for where in re.findall(r"~/checkpoints/[\w./-]*\w", (PROFILES / "paper.toml").read_text()):
        assert where in page, where
    for kinds in (KINDS, LLMS, CAPTIONERS):
        assert all(
            f"`{kind}@" in page
            for kind in kinds
            if kind not in ("embedded", "embedded-16k", "none", "tags")
        )
