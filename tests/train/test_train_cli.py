"""The command line `qamdt-train`: documented, its settings round-trip, errors are one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fit_builders import SHAPE, child_env, small_set, tiny
from safetensors import safe_open
from typer.testing import CliRunner

from qamdt.schemas.errors import ConfigError
from qamdt.schemas.settings import to_toml
from qamdt.train.cli import app
from qamdt.train.config import Config, from_toml
from qamdt.train.loop.fit import fit
from qamdt.train.network.config import SIZES

COMMANDS = (
    "fit", "info", "sample", "import-released", "latents", "generate", "page", "codec-eval",
)  # fmt: skip


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_every_command_has_help() -> None:
    assert set(app.lazy) == set(COMMANDS)
    for name in COMMANDS:
        assert len(call(name, "--help").splitlines()) > 5


def test_show_config_reads_back_and_a_flag_wins_over_file_and_size(tmp_path: Path) -> None:
    shown = call(
        "fit", "a", "b", "--show-config", "--size", "nano", "--steps", "7", "--demo-levels", "1",
        "--demo-levels", "4.5", "--no-quality-prefix", "--depth", "8",
    )  # fmt: skip
    (tmp_path / "c.toml").write_text(shown)
    config = from_toml(tmp_path / "c.toml")
    assert config.fit.steps == 7 and config.watch.demo_levels == (1.0, 4.5)
    assert not config.data.quality_prefix
    assert config.model.width == SIZES["nano"]["width"] and config.model.depth == 8
    again = call("fit", "a", "b", "--show-config", "--config", tmp_path / "c.toml")
    assert again == shown
    (tmp_path / "d.toml").write_text('[model]\nsize = "xl"\nheads = 8\n')
    config = from_toml(tmp_path / "d.toml")
    assert (config.model.width, config.model.depth, config.model.heads) == (1152, 28, 8)


@pytest.mark.parametrize("size", SIZES)
def test_defaults_of_every_size_round_trip(size: str, tmp_path: Path) -> None:
    config = Config().override("model", {"size": size})
    (tmp_path / "c.toml").write_text(to_toml(config))
    assert from_toml(tmp_path / "c.toml") == config
    assert 5e-5 < config.optim.rate(config.model.width) < 2e-3


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[fit]\nsteps = 0", "steps = 0: expected at least 1"),
        ("[data]\nquality_sampling = 'best'", "expected one of none, exp, balanced"),
        ("[model]\nsize = 'huge'", "expected one of nano"),
        ("[masking]\nmask_low = 0.6", "mask_high"),
        ("[watch]\ndemo_levels = [6.0]", "demo_levels"),
        ("[nothing]\n", "no such section"),
    ],
)
def test_wrong_settings_name_field_value_and_fix(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "c.toml").write_text(toml)
    with pytest.raises(ConfigError, match=words):
        from_toml(tmp_path / "c.toml")


def test_fit_and_sample_from_the_command_line(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path / "set")
    config = tiny(fit={"steps": 3}, data={"quality_prefix": False})
    (tmp_path / "c.toml").write_text(to_toml(config))
    said = call("fit", dataset.root, tmp_path / "run", "--config", tmp_path / "c.toml", "--quiet")
    assert "step 3: " in said
    assert from_toml(tmp_path / "run" / "config.toml") == config
    words = ("--text", "solo piano", "--quality", "1", "--quality", "4.5", "--count", "3")
    tail = ("--steps", "4", "--device", "cpu")
    for name, size in (("a", 1), ("b", 8)):
        out = tmp_path / f"{name}.safetensors"
        call("sample", tmp_path / "run", dataset.root, out, *words, *tail, "--batch-size", size)
    with (
        safe_open(tmp_path / "a.safetensors", "pt") as a,
        safe_open(tmp_path / "b.safetensors", "pt") as b,
    ):
        one, eight = a.get_tensor("latents"), b.get_tensor("latents")
        made = json.loads(a.metadata()["made"])
    assert one.shape == (6, *SHAPE)
    torch.testing.assert_close(one, eight, rtol=1e-4, atol=1e-5)  # the batch changes no sample
    assert [m["quality"] for m in made] == [1.0] * 3 + [4.5] * 3
    assert [m["seed"] for m in made] == [0, 1, 2] * 2


def test_sampling_refuses_what_it_has_no_states_or_level_for(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path / "set")
    fit(dataset, tmp_path / "run", tiny(fit={"steps": 1}), quiet=True)
    base = ["sample", str(tmp_path / "run"), str(dataset.root), str(tmp_path / "x.safetensors")]
    for words, error in (
        (["--text", "unheard of"], "no stored states"),
        (["--text", "solo piano", "--quality", "6"], "expected 1 to 5"),
        ([], "at least one prompt"),
    ):
        done = CliRunner().invoke(app, [*base, *words, "--steps", "2", "--device", "cpu"])
        assert done.exit_code == 1 and error in str(done.exception)
    assert not (tmp_path / "x.safetensors").exists()


def test_info_tells_what_a_configuration_costs() -> None:
    found = json.loads(call("info", "--size", "xl", "--json", "--peak-tflops", "989"))
    assert found["patches"] == 1024 and found["width"] == 1152
    assert 6e8 < found["parameters"] < 8e8
    assert 0.5 < found["masked_share_of_forward"] < 0.9
    assert found["step_ms"] > 0 and found["memory_gib"] > 5
    small = json.loads(call("info", "--size", "nano", "--json"))
    assert small["parameters"] < 2e6
    assert "parameters" in call("info", "--size", "s")


def test_errors_are_one_line_and_exit_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qamdt.train.cli", "fit", str(tmp_path / "none"), "run"]
    done = subprocess.run(command, capture_output=True, text=True, env=child_env(), cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "StoreError" in done.stderr and "latents" in done.stderr
