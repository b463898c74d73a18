"""The command line of evaluation: what needs no set of sounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qamdt.evaluate.cli import app
from qamdt.evaluate.config import Config, from_toml
from qamdt.schemas.errors import ConfigError
from qamdt.schemas.settings import to_toml


def command(*words: object) -> Any:
    return CliRunner().invoke(app, [str(w) for w in words])


def test_every_command_has_help() -> None:
    assert len(app.lazy) == 6
    for name in app.lazy:
        assert command(name, "--help").exit_code == 0


def test_prompts_by_command(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("caption_id,track_id,caption\n1,9,An upbeat song\n")
    said = command("prompts", tmp_path / "p.csv", "--out", tmp_path / "p.jsonl")
    assert said.exit_code == 0 and "song-describer" in said.output
    assert json.loads((tmp_path / "p.jsonl").read_text()) == {
        "id": "1", "caption": "An upbeat song", "reference_id": "9",
    }  # fmt: skip


def test_configuration_reads_back_and_flags_override(tmp_path: Path) -> None:
    shown = command(
        "run", "x", "--out", "y", "--show-config", "--metrics", "fad,kl", "--protocol", "audioldm"
    )
    assert shown.exit_code == 0, shown.output
    (tmp_path / "c.toml").write_text(shown.output)
    config = from_toml(tmp_path / "c.toml")
    assert config.metrics.metrics == ("fad", "kl") and config.metrics.protocol == "audioldm"
    assert to_toml(config) == shown.output
    for section, values in (
        ("metrics", {"metrics": ["fid"]}), ("metrics", {"protocol": "sam"}),
        ("metrics", {"is_splits": 0}), ("models", {"embedder": []}), ("run", {"batch": 0}),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            Config().override(section, values)
