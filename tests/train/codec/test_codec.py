"""train/codec/base.py: shapes, independence of rows, and checkpoints that are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from codec_builders import tiny_diffusers, tiny_mini

from qamdt.audio import mel
from qamdt.models.ref import resolve
from qamdt.schemas.errors import AudioError, ConfigError, ModelError, WeightsMissing
from qamdt.train.codec.base import Codec
from qamdt.train.codec.kinds import CODECS
from qamdt.train.codec.mini import EmbeddedCodec
from qamdt.train.codec.mini_network import MiniConfig, build, header, read_network

N = 640 * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusers(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module", params=["mini", "diffusers"])
def codec(request: pytest.FixtureRequest, folder: Path) -> Codec:
    if request.param == "diffusers":
        return resolve(f"diffusers@{folder}", CODECS)
    return EmbeddedCodec(weights=tiny_mini(folder / "mini.safetensors"))


def _waves(rows: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, (rows, N)).astype(np.float32))


def test_shapes_are_those_of_the_model(codec: Codec) -> None:
    """40 ms a latent frame, 16 bands; 10.24 s would be the trainer's 8 x 256 x 16."""
    latents = codec.encode(_waves())
    assert latents.shape == (3, 8, 40, 16)
    assert latents.dtype == torch.float32
    heard = codec.decode(latents)
    assert heard.shape == (3, 160, 64)
    assert codec.vocode(heard).shape == (3, N)


def test_rows_do_not_depend_on_their_batch(codec: Codec) -> None:
    """To the bit, on the CPU: the whole way there and back."""
    waves = _waves()
    latents = codec.encode(waves)
    alone = torch.cat([codec.encode(w[None]) for w in waves])
    assert torch.equal(latents, alone)
    sound = codec.vocode(codec.decode(latents))
    assert torch.equal(sound[1:2], codec.vocode(codec.decode(latents[1:2])))


def test_level_and_offset_of_the_wave_say_nothing(codec: Codec) -> None:
    waves = _waves(1)
    near = codec.encode(waves * 0.3 + 0.1) - codec.encode(waves)
    assert float(near.abs().max()) < 1e-3


def test_samples_come_from_their_own_seeds(codec: Codec) -> None:
    """Mean of many samples is the mean; a seed means the same in any company."""
    waves = _waves(1).expand(40, N)
    drawn = codec.encode(waves, "sample", list(range(40)))
    assert torch.equal(codec.encode(waves[:1], "sample", [7])[0], drawn[7])
    mean, deviation = codec.encode(waves[:1])[0], drawn.std(0)
    assert float(((drawn.mean(0) - mean).abs() / deviation).mean()) < 3 / 40**0.5
    with pytest.raises(ConfigError, match="seed"):
        codec.encode(waves, "sample")
    with pytest.raises(ConfigError, match="expected one of mean, sample"):
        codec.encode(waves, "mode")


def test_a_wave_of_another_length_is_refused(codec: Codec) -> None:
    with pytest.raises(AudioError, match="multiple of 640"):
        codec.encode(torch.zeros(1, N + 1))


def test_the_network_hears_the_mel_as_its_config_says(folder: Path) -> None:
    """codec-mini: (mel - centre) / spread in, and back out: checked against the network itself."""
    path = tiny_mini(folder / "one.safetensors")
    codec, network, config = EmbeddedCodec(weights=path), read_network(path), header(path).config
    heard = mel.log_mel(mel.normalised(_waves(1)))
    with torch.no_grad():
        wanted = network.encode(((heard - config.centre) / config.spread)[:, None]).latent_dist.mean
        again = network.decode(wanted).sample[:, 0] * config.spread + config.centre
    torch.testing.assert_close(codec.encode(_waves(1)), wanted)
    torch.testing.assert_close(codec.decode(wanted), again)


def test_weights_are_named_by_their_bytes(folder: Path) -> None:
    first = header(tiny_mini(folder / "a.safetensors"))
    network = build(first.config)
    assert first.about == {"recipe": "test"}
    assert first.digest == EmbeddedCodec(weights=folder / "a.safetensors").digest
    assert set(network.state_dict()) == set(read_network(folder / "a.safetensors").state_dict())


def test_embedded_takes_no_place_and_needs_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no"):
        resolve("embedded@x", CODECS)
    with pytest.raises(WeightsMissing, match="make train-codec"):
        EmbeddedCodec(weights=tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="is no codec-mini"):
        EmbeddedCodec(weights=tmp_path / "bad.safetensors")


def test_widths_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiples of 8"):
        MiniConfig(widths=(12, 16, 16))
    with pytest.raises(ConfigError, match="expected three"):
        MiniConfig(widths=(16, 16))


# --- real checkpoints ----------------------------------------------------------------------------


def test_what_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsMissing, match="is no folder"):
        resolve(f"diffusers@{tmp_path / 'none'}", CODECS)
    with pytest.raises(WeightsMissing, match="hf download some/codec"):
        resolve("diffusers@some/codec", CODECS)
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        resolve(f"diffusers@{tmp_path}", CODECS)
    with pytest.raises(ConfigError, match="needs a place"):
        resolve("diffusers", CODECS)


def test_a_vocoder_of_another_mel_is_refused(tmp_path: Path) -> None:
    tiny_diffusers(tmp_path, model_in_dim=80)
    with pytest.raises(ModelError, match="model_in_dim = 80, expected 64"):
        resolve(f"diffusers@{tmp_path}", CODECS)


def test_a_checkpoint_with_other_weights_is_never_half_loaded(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny_diffusers(tmp_path)
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["encoder.conv_in.other"] = state.pop("encoder.conv_in.weight")
    save_file(state, file, {"format": "pt"})
    codec = resolve(f"diffusers@{tmp_path}", CODECS)
    with pytest.raises(ModelError, match="no complete checkpoint of AutoencoderKL"):
        codec.load()


def test_the_folder_is_read_as_diffusers_reads_it(folder: Path) -> None:
    """Same latents as AutoencoderKL on the mel, same wave as SpeechT5HifiGan; scaling as stated."""
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan

    codec = resolve(f"diffusers@{folder}", CODECS)
    vae, gan = (
        AutoencoderKL.from_pretrained(folder / "vae"),
        SpeechT5HifiGan.from_pretrained(folder / "vocoder"),
    )
    heard = mel.log_mel(mel.normalised(_waves(1)))
    with torch.no_grad():
        latents = vae.encode(heard[:, None]).latent_dist.mean
        wave = gan(heard)[:, :N]
    torch.testing.assert_close(codec.encode(_waves(1)), latents)
    torch.testing.assert_close(codec.vocode(heard), wave)
    assert codec.scaling == 0.5


def test_another_class_is_refused(tmp_path: Path) -> None:
    tiny_diffusers(tmp_path)
    path = tmp_path / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "VQModel"}))
    with pytest.raises(ModelError, match="expected AutoencoderKL"):
        resolve(f"diffusers@{tmp_path}", CODECS)
