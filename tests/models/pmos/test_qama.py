"""models/pmos/qama.py and models/fetch/torch_file.py: fairseq's files, read without fairseq.

torchaudio's wav2vec 2.0 is another implementation of the network; s3prl's, which is fairseq's own
code, is asked in test_evaluate_oracle.py.
"""

from __future__ import annotations

import argparse
import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import music
from checkpoint_builders import as_fairseq, heads, network_of, saved

from qamdt.audio.loudness import integrated_loudness
from qamdt.audio.sound import Sound
from qamdt.models.fetch.torch_file import Inert, read_content, tensors_of
from qamdt.models.pmos.kinds import KINDS
from qamdt.models.pmos.qama import QamaPmos
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, ModelError, WeightsMissing


class Stage(enum.Enum):
    """What a training checkpoint may hold beside tensors."""

    FITTED = 1


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def expected(network: Any, head: dict[str, torch.Tensor], wave: np.ndarray) -> float:
    """The authors' way: the mean over time of the last layer, one linear output."""
    with torch.inference_mode():
        states, _ = network(torch.from_numpy(wave)[None])
        out = states.mean(1) @ head["output_layer_arch1.weight"].T + head["output_layer_arch1.bias"]
    return float(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qama")


@pytest.fixture(scope="module")
def folds(folder: Path) -> list[tuple[Any, dict[str, torch.Tensor]]]:
    """Three networks with their heads, saved as the folds; another one as qama_full.pt."""
    made = []
    for k in (1, 2, 3):
        network = network_of(k)
        made.append((network, saved(network, folder / f"qama_fold{k}.pt")))
    saved(network_of(9), folder / "qama_full.pt")
    return made


SOUND = Sound(music(4.0, 16_000), 16_000)


def test_one_file_is_the_same_network(folder: Path, folds: list[Any]) -> None:
    model = resolve(f"qama@{folder}/qama_fold1.pt", KINDS)
    model.load()
    assert model.model_id == "qama:qama_fold1"
    wanted = expected(*folds[0], SOUND.samples.mean(0))
    np.testing.assert_allclose(model.score([SOUND]), [wanted], atol=1e-4)


def test_a_folder_is_the_mean_of_its_folds(folder: Path, folds: list[Any]) -> None:
    sounds = [SOUND, Sound(music(2.5, 16_000, seed=3), 16_000), Sound(music(0.3, 16_000), 16_000)]
    model = QamaPmos(str(folder))
    found = model.score(sounds)
    wanted = [
        np.mean([expected(*fold, sound.samples.mean(0)) for fold in folds]) for sound in sounds[:2]
    ]
    np.testing.assert_allclose(found[:2], wanted, atol=1e-4)
    assert np.isnan(found[2])  # too short to be judged
    np.testing.assert_allclose(model.score(sounds[1:2]), found[1:2], atol=1e-5)
    assert model.model_id == "qama:mean-cv"
    assert model.digest != QamaPmos(f"{folder}/qama_full.pt").digest


def test_the_first_two_channels_are_heard(folder: Path, folds: list[Any]) -> None:
    model = QamaPmos(f"{folder}/qama_fold1.pt")
    more = Sound(np.vstack([SOUND.samples[:2], 9 * SOUND.samples[:1]]), 16_000)
    np.testing.assert_array_equal(
        model.score([more]), model.score([Sound(SOUND.samples[:2], 16_000)])
    )


def test_loudness_is_brought_to_one(folder: Path, folds: list[Any]) -> None:
    model = QamaPmos(f"{folder}/qama_fold1.pt?loudness_lufs=-23")
    found = integrated_loudness(SOUND.samples, 16_000)
    assert found is not None and model.model_id == "qama:qama_fold1@-23LUFS"
    gain = 10 ** ((-23 - found) / 20)
    wanted = expected(*folds[0], (SOUND.samples.mean(0) * gain).astype(np.float32))
    np.testing.assert_allclose(model.score([SOUND]), [wanted], atol=1e-4)


def test_heads_alone_take_the_network_beside_them(tmp_path: Path) -> None:
    """fairseq's own checkpoint, with all that a training run leaves in it."""
    network = network_of(5)
    made = heads()
    torch.save(made, tmp_path / "qama_full.pt")
    with pytest.raises(WeightsMissing, match=r"checkpoint_best\.pt"):
        QamaPmos(f"{tmp_path}/qama_full.pt").load()
    trained = {
        "args": argparse.Namespace(arch="wav2vec2", lr=[1e-4]),
        "cfg": {"stage": Stage.FITTED, "nested": argparse.Namespace(a=1)},
        "model": as_fairseq(network),
        "extra_state": {"loss": np.float64(0.5), "table": np.arange(3), "where": Path("/x")},
    }
    torch.save(trained, tmp_path / "checkpoint_best.pt")
    model = QamaPmos(f"{tmp_path}/qama_full.pt")
    wanted = expected(network, made, SOUND.samples.mean(0))
    np.testing.assert_allclose(model.score([SOUND]), [wanted], atol=1e-4)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    """Pickles that would write a file: one is read as tensors, one is refused, neither is run."""
    written = tmp_path / "written"

    class Code:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(written)!r}, 'w')",)

    class Shell:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {written}",)

    torch.save({"model": {"w": torch.ones(2)}, "bad": Code()}, tmp_path / "code.pt")
    content = read_content(tmp_path / "code.pt")
    assert list(tensors_of(content, "model")) == ["w"] and isinstance(content["bad"], Inert)
    torch.save({"model": {"w": torch.ones(2)}, "bad": Shell()}, tmp_path / "shell.pt")
    with pytest.raises(ModelError, match="plain tensors"):
        read_content(tmp_path / "shell.pt")
    assert not written.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04K\x01."])
def test_what_is_no_checkpoint_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(content)
    with pytest.raises(ModelError):
        QamaPmos(str(file)).load()


def test_refusals(folder: Path, folds: list[Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"qama_fold1\.pt"):
        resolve(f"qama@{tmp_path}", KINDS)
    with pytest.raises(ConfigError, match="qama@FILE"):
        resolve("qama", KINDS)
    with pytest.raises(ConfigError, match="no option 'level'"):
        QamaPmos(f"{folder}?level=1")
    with pytest.raises(ConfigError, match="is no float"):
        QamaPmos(f"{folder}?loudness_lufs=loud")
    state = torch.load(folder / "qama_full.pt", weights_only=True)
    del state["ssl_model.encoder.layers.1.fc1.bias"]
    torch.save(state, tmp_path / "lacking.pt")
    with pytest.raises(ModelError, match="lacks"):
        QamaPmos(str(tmp_path / "lacking.pt")).load()
