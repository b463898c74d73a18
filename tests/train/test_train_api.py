"""Training from a program: latents where there are none, a run that goes on, sounds with their tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import qamdt
from qamdt.schemas.errors import ConfigError

TINY = {
    "size": "nano", "text_width": 384, "loader_workers": 0, "demo_every": 0, "validate_every": 0,
    "tensorboard": False, "precision": "fp32", "batch_size": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(
    music_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[qamdt.Dataset, qamdt.Run]:
    """A set of a few seconds, and a network that has taken two steps on it."""
    root = tmp_path_factory.mktemp("api")
    data = qamdt.curate(music_folder, root / "data", window_s=2.0, llm="none", prefixes="released")
    return data, qamdt.fit(data, root / "run", steps=2, **TINY)


def test_latents_are_made_and_the_run_goes_on(trained: tuple[qamdt.Dataset, qamdt.Run]) -> None:
    data, run = trained
    assert (run.step, run.exit_code) == (2, 0) and np.isfinite(run.loss)
    assert len(data.sql("select * from latents").df()) > 0
    further = qamdt.fit(data, run.root, steps=3, **TINY)
    assert further.step == 3 and further.metrics()["step"].max() == 3
    assert qamdt.fit(str(data.root), str(run.root), steps=3, **TINY).step == 3


def test_sounds_say_what_made_them(
    trained: tuple[qamdt.Dataset, qamdt.Run], tmp_path: Path
) -> None:
    _, run = trained
    sounds = qamdt.generate(run, ["piano", "drums"], quality=[1, 5], steps=2, seconds=1.0, seed=7)
    assert [(s.about["prompt"], s.about["quality"]) for s in sounds] == [
        ("piano", 1), ("piano", 5), ("drums", 1), ("drums", 5),
    ]  # fmt: skip
    one = sounds[0]
    assert one.samples.shape == (16_000,) and one.about["steps"] == 2 and one.about["seed"] == 7
    (again,) = qamdt.generate(run.root, "piano", 1, steps=2, seconds=1.0, seed=7)
    np.testing.assert_allclose(again.samples, one.samples, atol=1e-5)
    wave, rate = sf.read(one.save(tmp_path / "a.flac"))
    assert rate == one.rate_hz and len(wave) == len(one.samples)
    assert "<audio" in one._repr_html_() and "piano" in one._repr_html_()
    with pytest.raises(ConfigError, match=r"ends in \.wav or \.flac"):
        one.save(tmp_path / "a.mp3")


def test_settings_are_those_of_the_call(trained: tuple[qamdt.Dataset, qamdt.Run]) -> None:
    data, run = trained
    with pytest.raises(ConfigError, match="did you mean steps"):
        qamdt.fit(data, run.root, stepz=3)
    with pytest.raises(ConfigError, match="no such setting"):
        qamdt.generate(run, "piano", learning_rate=1.0)
    with pytest.raises(ConfigError, match="expected a folder"):
        qamdt.generate(3, "piano")
