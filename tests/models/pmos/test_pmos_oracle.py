"""p-MOS adapters against the code they were made with: fairseq's wav2vec 2.0 (in s3prl), audiobox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import music
from oracles import _taken_away, keep, oracle  # noqa: F401

from qamdt.audio.sound import Sound
from qamdt.models.pmos.audiobox import AudioboxPmos
from qamdt.models.pmos.qama import QamaPmos

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]
CLOSE = 1e-4
UNIT = "millionths of a point, largest difference"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def stirred(network: Any, seed: int) -> Any:
    """A network whose biases and norms are random too: zeros and ones would hide a swap."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
        elif "pos_conv" not in name:
            parameter.data *= 1.5
    return network.eval()


def test_qama_is_fairseqs_network(tmp_path: Path) -> None:
    """wav2vec 2.0 base of random weights in fairseq's own code, and the authors' head on it."""
    fairseq = oracle("s3prl.upstream.wav2vec2.wav2vec2_model")
    sounds = [Sound(music(4.0, 16_000, 1), 16_000), Sound(music(2.1, 16_000, 2, seed=2), 16_000)]
    wanted = np.zeros((3, len(sounds)))
    for fold in range(3):
        network = stirred(fairseq.Wav2Vec2Model(fairseq.Wav2Vec2Config()), fold)
        head = torch.nn.Linear(768, 1)
        state = {f"ssl_model.{k}": v for k, v in network.state_dict().items()}
        state |= {f"output_layer_arch1.{k}": v for k, v in head.state_dict().items()}
        torch.save(state, tmp_path / f"qama_fold{fold + 1}.pt")
        for k, sound in enumerate(sounds):
            wave = torch.from_numpy(sound.mono())[None]
            with torch.inference_mode():
                last = network(wave, padding_mask=None, mask=False, features_only=True)["x"]
                wanted[fold, k] = float(head(last.mean(1)))
    one = QamaPmos(f"{tmp_path}/qama_fold1.pt").score(sounds)
    mean = QamaPmos(str(tmp_path)).score(sounds)
    assert abs(wanted[0, 0] - wanted[0, 1]) > 10 * CLOSE  # random weights tell the sounds apart
    apart = max(np.abs(one - wanted[0]).max(), np.abs(mean - wanted.mean(0)).max())
    keep("qama_parity", 1e6 * float(apart), 4, "millionths of a MOS, largest difference")
    assert apart <= CLOSE


def test_audiobox_is_its_packages_predictor(tmp_path: Path) -> None:
    """Random weights, saved as Hugging Face has them; sounds shorter and longer than a window."""
    oracle("audiobox_aesthetics")
    infer = oracle("audiobox_aesthetics.infer")
    scale = {axis: {"mean": 5.0 + k, "std": 1.5} for k, axis in enumerate(infer.AXES_NAME)}
    network = stirred(infer.AesMultiOutput(target_transform=scale), 0)
    network.save_pretrained(tmp_path)
    sounds = [
        Sound(music(s, 16_000, seed=seed), 16_000) for seed, s in enumerate((4.0, 10.0, 12.5))
    ]
    theirs = object.__new__(infer.AesPredictor)  # its constructor asks the hub
    theirs.model, theirs.device, theirs.data_col = network, torch.device("cpu"), "wave"
    theirs.sample_rate = 16_000
    theirs.target_transform = {a: infer.Normalize(**told) for a, told in scale.items()}
    told = [{"wave": torch.from_numpy(s.samples), "sample_rate": 16_000} for s in sounds]
    wanted = theirs.forward(told)
    for axis in ("PQ", "CE"):
        found = AudioboxPmos(f"{tmp_path}?axis={axis}").score(sounds)
        apart = float(np.abs(found - [row[axis] for row in wanted]).max())
        keep(f"audiobox_parity_{axis.lower()}", 1e6 * apart, len(sounds), UNIT)
        assert apart <= CLOSE
