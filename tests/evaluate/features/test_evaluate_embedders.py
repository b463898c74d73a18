"""evaluate/features/embedders.py and its kin: small real networks, front ends against other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from builders import music, noise, silence, sine
from checkpoint_builders import as_laion, small_clap, small_panns, small_vggish

from qamdt.audio.sound import Sound
from qamdt.evaluate.features import panns, vggish
from qamdt.evaluate.features.convert import convert_checkpoint
from qamdt.evaluate.features.embedders import EMBEDDERS, open_embedder
from qamdt.evaluate.features.windows import wave_of
from qamdt.models.clap.kinds import MATCHERS
from qamdt.models.clap.laion import LaionMatch, renamed
from qamdt.models.ref import resolve
from qamdt.schemas.errors import AudioError, ConfigError, EndOfAudio, ModelError, WeightsMissing


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both checkpoints as their authors save them, then converted."""
    folder = tmp_path_factory.mktemp("ckpt")
    torch.save(small_vggish(), folder / "vggish.pth")
    torch.save({"iteration": 1, "model": small_panns()}, folder / "cnn14.pth")
    made = {k: folder / f"{k}.safetensors" for k in ("vggish", "panns")}
    assert convert_checkpoint("vggish", folder / "vggish.pth", made["vggish"]) == 18
    assert convert_checkpoint("panns", folder / "cnn14.pth", made["panns"], 16000) == 4 + 60 + 4
    return made


# --- VGGish ------------------------------------------------------------------------------------


def test_vggish_mel_bank_is_htks() -> None:
    """The same triangles as librosa's in HTK's scale but for straight sides in mel, not in Hz."""
    ours = vggish.mel_bank()
    theirs = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
    ).T
    assert ours.shape == theirs.shape and ours[0].sum() == 0
    assert np.abs(ours - theirs).max() < 0.12
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.998


def test_vggish_counts_windows_and_drops_the_tail() -> None:
    for samples, count in ((15599, 0), (15600, 1), (30959, 1), (30960, 2), (160000, 10)):
        assert len(vggish.examples(np.zeros(samples, np.float32))) == count, samples
    assert vggish.examples(np.zeros(16000, np.float32)) == pytest.approx(np.log(0.01))


def test_vggish_runs_its_layers_in_order(files: dict[str, Path]) -> None:
    """Against the same network put together from torch's modules."""
    from torch import nn

    state = small_vggish()
    layers: list[nn.Module] = []
    for k in vggish.CONVOLUTIONS:
        weight = state[f"features.{k}.weight"]
        layers += [nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2, 2)] if k in vggish.POOLED else []
    features = nn.Sequential(*layers)
    features.load_state_dict({k[9:]: v for k, v in state.items() if k.startswith("features")})
    sound = Sound(music(2.5, 16000, 1), 16000)
    heard = torch.from_numpy(vggish.examples(sound.mono()))[:, None]
    with torch.no_grad():
        x = features(heard).transpose(1, 3).transpose(1, 2).contiguous().flatten(1)
        for k in vggish.DENSE:
            x = x @ state[f"embeddings.{k}.weight"].T + state[f"embeddings.{k}.bias"]
            x = x.relu() if k != 4 else x
    (found,) = open_embedder(f"vggish@{files['vggish']}", "cpu", "native").embed([sound])
    assert found.logits is None and found.rows.shape == (2, 12)
    np.testing.assert_allclose(found.rows, x.numpy(), rtol=1e-4, atol=1e-4)


def test_styles_of_vggish(files: dict[str, Path]) -> None:
    sound = Sound(np.stack([music(3, 16000, 1)[0] + 0.1, noise(3, 16000, 1)[0]]), 16000)
    rows = {
        style: open_embedder(f"vggish@{files['vggish']}", "cpu", style).embed([sound])[0].rows
        for style in ("native", "audioldm", "musicgen")
    }
    assert {k: len(v) for k, v in rows.items()} == {"native": 3, "audioldm": 3, "musicgen": 5}
    assert not np.allclose(rows["native"], rows["audioldm"])
    louder = Sound(sound.samples * 0.5, 16000)
    google = open_embedder(f"vggish@{files['vggish']}", "cpu", "musicgen")
    np.testing.assert_allclose(google.embed([louder])[0].rows, rows["musicgen"], atol=1e-4)


def test_too_short_for_vggish_says_so(files: dict[str, Path]) -> None:
    made = open_embedder(f"vggish@{files['vggish']}", "cpu", "native")
    with pytest.raises(EndOfAudio, match="less than one window"):
        made.embed([Sound(sine(0.5, rate_hz=16000), 16000)])


# --- PANNs -------------------------------------------------------------------------------------


def test_panns_log_mel_is_librosas() -> None:
    wave = music(1.0, 32000, 1)[0]
    theirs = librosa.power_to_db(
        librosa.feature.melspectrogram(
            y=wave, sr=32000, n_fft=1024, hop_length=320, n_mels=64, fmin=50, fmax=14000,
            pad_mode="reflect",
        ), amin=1e-10, ref=1.0, top_db=None,
    ).T  # fmt: skip
    np.testing.assert_allclose(panns.log_mel(wave, 32000), theirs, atol=2e-3)


def test_panns_gives_a_row_and_logits_a_clip(files: dict[str, Path]) -> None:
    made = open_embedder(f"panns@{files['panns']}", "cpu", "audioldm")
    assert len(made.classes) == 9 and made.front_end["rate_hz"] == 16000
    for seconds in (0.1, 2.0, 5.3):
        (found,) = made.embed([Sound(music(seconds, 16000), 16000)])
        assert found.rows.shape == (1, 11) and (found.rows >= 0).all()
        assert found.logits is not None and found.logits.shape == (9,)
    state = small_panns()
    expected = (
        found.rows[0] @ state["fc_audioset.weight"].numpy().T + state["fc_audioset.bias"].numpy()
    )
    np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-4)


def test_panns_network_is_that_of_the_paper(files: dict[str, Path]) -> None:
    """Against torch's own modules, block by block, on one sound."""
    import torch.nn.functional as F

    state = small_panns()
    wave = music(2.2, 16000, 1)[0]
    x = torch.from_numpy(panns.log_mel(wave, 16000))[None, None]
    norm = torch.nn.BatchNorm2d(64).eval()
    norm.load_state_dict({**norm.state_dict(), **_part(state, "bn0.")})
    x = norm(x.transpose(1, 3)).transpose(1, 3)
    for k in panns.BLOCKS:
        for half in (1, 2):
            x = F.conv2d(x, state[f"conv_block{k}.conv{half}.weight"], padding=1)
            norm = torch.nn.BatchNorm2d(x.shape[1]).eval()
            norm.load_state_dict({**norm.state_dict(), **_part(state, f"conv_block{k}.bn{half}.")})
            x = norm(x).relu()
        x = F.avg_pool2d(x, 2 if k < 6 else 1)
    x = x.mean(3)
    x = F.relu(F.linear(x.max(2).values + x.mean(2), state["fc1.weight"], state["fc1.bias"]))
    (found,) = open_embedder(f"panns@{files['panns']}", "cpu", "native").embed(
        [Sound(wave[None], 16000)]
    )
    np.testing.assert_allclose(found.rows, x.detach().numpy(), rtol=1e-3, atol=1e-3)


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def test_checkpoints_that_are_none(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="convert vggish"):
        open_embedder(f"vggish@{tmp_path}/no", "cpu", "native")
    with pytest.raises(WeightsMissing, match="convert panns"):
        open_embedder(f"panns@{tmp_path}/no", "cpu", "native")
    with pytest.raises(ModelError, match="lacks"):
        open_embedder(f"vggish@{files['panns']}", "cpu", "native").load()
    with pytest.raises(ModelError, match="no PANNs checkpoint"):
        open_embedder(f"panns@{files['vggish']}", "cpu", "native")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="lacks"):
        convert_checkpoint("vggish", tmp_path / "other.pth", tmp_path / "x")
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match="plain tensors"):
        convert_checkpoint("panns", tmp_path / "code.pth", tmp_path / "x")
    with pytest.raises(ConfigError, match="kind"):
        convert_checkpoint("passt", tmp_path / "other.pth", tmp_path / "x")


# --- CLAP --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def laion_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laion")
    model = small_clap()
    torch.save({"epoch": 15, "state_dict": as_laion(model.state_dict())}, folder / "small.pt")  # type: ignore[attr-defined]
    return folder / "small.pt"


def test_laions_file_is_the_same_network(laion_file: Path) -> None:
    model, found = small_clap(), LaionMatch(str(laion_file))
    found.load()
    ours, theirs = found._model.state_dict(), model.state_dict()  # type: ignore[attr-defined]
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert found.dim == 12 and found.model_id == "laion:small"


def test_laion_hears_all_of_a_sound_and_never_at_random(laion_file: Path) -> None:
    sound = Sound(music(12.0, 48000, 1), 48000)
    made = open_embedder(f"laion@{laion_file}", "cpu", "native")
    (once,), (again,) = made.embed([sound]), made.embed([Sound(sound.samples, 48000)])
    assert np.array_equal(once.rows, again.rows) and once.rows.shape == (1, 12)
    assert np.linalg.norm(once.rows) == pytest.approx(1, abs=1e-5)
    by_second = open_embedder(f"laion@{laion_file}", "cpu", "fadtk").embed([sound])[0].rows
    assert by_second.shape == (12, 12)
    first = resolve(f"laion@{laion_file}", MATCHERS).embed_audio(
        [Sound(sound.samples[:, :480000], 48000)]
    )
    np.testing.assert_allclose(by_second[0], first[0], atol=1e-5)


def test_laion_refusals(laion_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no file"):
        resolve(f"laion@{tmp_path}/x.pt", MATCHERS)
    with pytest.raises(WeightsMissing, match="tokenizer of roberta-base"):
        resolve(f"laion@{laion_file}", MATCHERS).embed_text(["piano"])
    torch.save({"state_dict": {"module.x": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="no CLAP of LAION"):
        resolve(f"laion@{tmp_path}/other.pt", MATCHERS).load()
    name = "encoder.layer.0.attention.output.dense.bias"  # of the text side: as it is
    assert list(renamed({f"text_branch.{name}": torch.zeros(1)})) == [f"text_model.{name}"]


def test_laion_reads_texts_with_a_tokenizer_beside_it(laion_file: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "slow", "piano", "fast", "metal"]
    backend = Tokenizer(models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(tmp_path / "tok")
    model = LaionMatch(f"{laion_file}#{tmp_path / 'tok'}", least_vocabulary=5)
    rows = model.embed_text(["slow piano", "fast metal", " "])
    assert rows.shape == (3, 12) and not rows[2].any()
    assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ModelError, match="tokenizer has"):
        LaionMatch(f"{laion_file}#{tmp_path / 'tok'}").embed_text(["piano"])


# --- wav2vec 2.0, and the embedded ones ---------------------------------------------------------


@pytest.fixture(scope="module")
def wav2vec2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("w2v")
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"sampling_rate": 16000, "do_normalize": True})
    )
    return folder


def test_wav2vec2_layers(wav2vec2_folder: Path) -> None:
    sound = Sound(music(1.0, 16000, 1), 16000)
    rows = [
        open_embedder(f"wav2vec2@{wav2vec2_folder}{layer}", "cpu", "native").embed([sound])[0].rows
        for layer in ("", "#3", "#1", "#0")
    ]
    assert rows[0].shape == (1, 16)
    assert np.array_equal(rows[0], rows[1]) and not np.allclose(rows[0], rows[2])
    with pytest.raises(ConfigError, match="#0 to #3"):
        open_embedder(f"wav2vec2@{wav2vec2_folder}#4", "cpu", "native")
    with pytest.raises(WeightsMissing):
        open_embedder("wav2vec2@/nowhere", "cpu", "native")


@pytest.mark.parametrize("ref", ["embedded", "clap-mini"])
def test_embedded_ones_hear_each_sound_for_itself(ref: str) -> None:
    sounds = [Sound(music(3.2, seed=s), 44100) for s in range(2)]
    made = open_embedder(ref, "cpu", "native")
    together = made.embed([Sound(s.samples, s.rate_hz) for s in sounds])
    alone = [made.embed([Sound(s.samples, s.rate_hz)])[0] for s in sounds]
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.rows, b.rows)
        if ref == "embedded":
            assert a.logits is not None and b.logits is not None
            assert a.logits.shape == (len(made.classes),) and np.array_equal(a.logits, b.logits)


def test_every_kind_is_told_of_and_unknown_ones_are_refused() -> None:
    from qamdt.evaluate.features import embedders

    for kind in EMBEDDERS:
        assert kind in (embedders.__doc__ or ""), kind
    with pytest.raises(ConfigError, match="kind must be one of"):
        open_embedder("openl3@x", "cpu", "native")


def test_first_channel_less_its_mean() -> None:
    samples = np.stack([sine(0.5, channels=1)[0] + 0.25, silence(0.5, channels=1)[0]])
    wave = wave_of(Sound(samples, 44100), 44100, first_channel=True)
    assert abs(float(wave.mean())) < 1e-6 and np.ptp(wave) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(AudioError):
        wave_of(Sound(np.zeros((1, 0), np.float32), 44100), 16000)
