"""The command line: every command is documented, settings round-trip, errors are one line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from builders import file_set
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from qamdt.curate.cli import app
from qamdt.curate.config import Config, from_toml, to_toml
from qamdt.schemas.errors import ConfigError

STATIONS = "run ingest score quantize caption refine filter export report"
COMMANDS = [*STATIONS.split(), *"status sql search demo bench models".split()]


def test_every_command_has_help() -> None:
    cli = CliRunner()
    assert set(app.lazy) == set(COMMANDS)
    for name in COMMANDS:
        done = cli.invoke(app, [name, "--help"])
        assert done.exit_code == 0 and len(done.output.splitlines()) > 5, name


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "ingest": st.fixed_dictionaries({}, optional={"window_s": st.floats(0.1, 100)}),
        "filter": st.fixed_dictionaries(
            {},
            optional={
                "min_pmos": st.none() | st.floats(0, 5),
                "min_level": st.none() | st.integers(1, 5),
                "need_caption": st.booleans(),
            },
        ),
        "models": st.fixed_dictionaries(
            {}, optional={"llm": st.text(st.characters(codec="utf-8"), max_size=20)}
        ),
        "score": st.just({"only": ("pmos", "signal")}),
    },
)


@given(_CHANGES)
def test_toml_reads_back_to_the_same_configuration(changes: dict) -> None:
    import tempfile

    config = Config()
    for section, values in changes.items():
        config = config.override(section, values)
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8", newline="") as f:
        f.write(to_toml(config))
        f.flush()
        assert from_toml(Path(f.name)) == config


def test_show_config_of_the_command_line_is_toml(tmp_path: Path) -> None:
    cli = CliRunner()
    done = cli.invoke(
        app, ["run", "a", "b", "--show-config", "--min-level", "2", "--no-need-caption"]
    )
    (tmp_path / "c.toml").write_text(done.output)
    config = from_toml(tmp_path / "c.toml")
    assert config.filter.min_level == 2 and config.filter.need_caption is False
    # a flag wins over the file, the file over the default
    done = cli.invoke(
        app,
        [
            "run",
            "a",
            "b",
            "--show-config",
            "--config",
            str(tmp_path / "c.toml"),
            "--min-level",
            "3",
        ],
    )
    (tmp_path / "d.toml").write_text(done.output)
    assert from_toml(tmp_path / "d.toml") == dataclasses.replace(
        config, filter=dataclasses.replace(config.filter, min_level=3)
    )


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[ingest]\nwindow = 3", r"\[ingest\] window: no such setting"),
        ("[ingest]\nwindow_s = 'x'", "expected float"),
        ("[quantize]\nscheme = 'best'", "expected one of ladder"),
        ("[nothing]\n", "no such section"),
        ("window_s = 3", "outside a section"),
        ("[", "not TOML"),
    ],
)
def test_wrong_settings_name_field_value_and_fix(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "c.toml").write_text(toml)
    with pytest.raises(ConfigError, match=words):
        from_toml(tmp_path / "c.toml")


def test_errors_are_one_line_and_exit_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qamdt.curate.cli", "score", str(tmp_path / "none")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "qamdt-curate ingest" in done.stderr


def test_dry_run_does_nothing(tmp_path: Path) -> None:
    file_set(tmp_path / "in", count=2, duration_s=2)
    done = CliRunner().invoke(
        app, ["ingest", str(tmp_path / "in"), str(tmp_path / "out"), "--dry-run"]
    )
    assert done.exit_code == 0 and "2 rows to do" in done.output
    assert not list((tmp_path / "out").rglob("*.parquet"))
