"""p-MOS: independent of batch-mates, honest about what it cannot judge, right about damage."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from test_degrade import RATE_HZ, music

from qamdt.audio.damage.degrade import KINDS as DAMAGES
from qamdt.audio.damage.degrade import degrade
from qamdt.audio.sound import Sound
from qamdt.models.pmos.base import WEIGHTS, EmbeddedPmos
from qamdt.models.pmos.kinds import KINDS
from qamdt.models.pmos.mini_features import CUES, MELS, features
from qamdt.models.pmos.mini_network import NetConfig, PmosNet
from qamdt.models.pmos.wav2vec2 import Wav2Vec2Pmos
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, ModelError, WeightsMissing


@pytest.fixture(scope="module")
def embedded() -> EmbeddedPmos:
    torch.set_num_threads(1)
    return EmbeddedPmos()


def sound(seconds: float = 2.0, channels: int = 2, rate_hz: int = RATE_HZ) -> Sound:
    return Sound(music(channels, seconds, rate_hz), rate_hz)


def test_a_score_depends_on_its_own_sound_alone(embedded: EmbeddedPmos) -> None:
    """Alone, or among others of its own and of other lengths and rates: the same within 1e-5."""
    mixed = [sound(2), sound(2, 1), sound(1.3), sound(2, 2, 44100), sound(7.5), sound(2, 1, 16000)]
    together = embedded.score(mixed)
    alone = np.concatenate([embedded.score([Sound(s.samples, s.rate_hz)]) for s in mixed])
    assert together.dtype == np.float32 and together.shape == (6,)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(embedded.score(mixed[::-1])[::-1], alone, atol=1e-5)
    assert ((together >= 1) & (together <= 5)).all()


def test_silence_is_bad_and_the_unjudgeable_is_nan(embedded: EmbeddedPmos) -> None:
    """Silence gets a low finite score; too short, empty and not finite get NaN; others go on."""
    holed = music(1, 2.0)
    holed[0, 50] = np.nan
    short = Sound(music(1, 0.9), RATE_HZ)
    scores = embedded.score([
        Sound(np.zeros((2, 3 * RATE_HZ), np.float32), RATE_HZ), Sound(holed, RATE_HZ), short,
        Sound(np.zeros((1, 0), np.float32), RATE_HZ), sound(1.0),
    ])  # fmt: skip
    assert 1 <= scores[0] < 2.5
    assert np.isnan(scores[1:4]).all()
    assert np.isfinite(scores[4])
    assert embedded.score([]).shape == (0,)


def test_volume_does_not_matter(embedded: EmbeddedPmos) -> None:
    """The same music 30 dB softer scores the same within .05."""
    loud = music(2, 3.0)
    scores = embedded.score([Sound(loud, RATE_HZ), Sound(loud * np.float32(0.0316), RATE_HZ)])
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


def test_a_silent_end_does_not_count(embedded: EmbeddedPmos) -> None:
    """Six seconds of music before six of silence score as the music does."""
    played = music(1, 6.0)
    padded = np.pad(played, ((0, 0), (0, played.shape[1])))
    scores = embedded.score([Sound(played, RATE_HZ), Sound(padded, RATE_HZ)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "least"), [("white", 0.5), ("clip", 0.5), ("lowpass", 0.5), ("mp3", 0.5), ("hum", 0.1)]
)
def test_heavy_damage_scores_below_clean(embedded: EmbeddedPmos, kind: str, least: float) -> None:
    """On plucked notes that no training set holds, severe damage costs half a point, hum some."""
    clean = music(2, 4.0)
    hurt = degrade(clean, RATE_HZ, kind, DAMAGES[kind].at(0.9), seed=1)
    good, bad = embedded.score([Sound(clean, RATE_HZ), Sound(hurt, RATE_HZ)])
    assert bad < good - least


def test_the_weights_say_what_they_are(embedded: EmbeddedPmos) -> None:
    """Metadata names recipe, data and seeds; the file is small; the digest is of its bytes."""
    with safe_open(WEIGHTS, "pt") as file:
        told = file.metadata()
    assert {"config", "recipe", "data", "data_seed", "seed", "steps", "license"} <= set(told)
    assert json.loads(told["config"])["bands"] == 32
    assert WEIGHTS.stat().st_size < 8e6
    assert len(embedded.digest) == 64 and embedded.model_id == "pmos-mini"
    assert WEIGHTS.with_suffix(".md").read_text().startswith("# pmos-mini")


@pytest.fixture(scope="module")
def narrow() -> EmbeddedPmos:
    return resolve("embedded-16k", KINDS)


def test_the_narrow_scorer_does_not_hear_above_8_khz(narrow: EmbeddedPmos) -> None:
    """A sound and the same with noise above 9 kHz score alike, at 48 as at 16 kHz; music is good."""
    import soxr

    clean = music(1, 4.0)
    air = 0.05 * np.random.default_rng(0).standard_normal(clean.shape[1])
    spectrum = np.fft.rfft(air)
    spectrum[np.fft.rfftfreq(len(air), 1 / RATE_HZ) < 9000] = 0
    hissing = clean + np.fft.irfft(spectrum, len(air)).astype(np.float32)
    low = soxr.resample(clean[0], RATE_HZ, 16000)[None]
    sounds = [Sound(clean, RATE_HZ), Sound(hissing, RATE_HZ), Sound(low, 16000)]
    scores = narrow.score(sounds)
    np.testing.assert_allclose(scores, scores[0], atol=0.05)
    assert scores[0] > 4 and EmbeddedPmos().score(sounds[2:])[0] < scores[0] - 1


@pytest.mark.parametrize("kind", ["white", "pink", "bits", "telephone", "clip"])
def test_the_narrow_scorer_hears_damage_at_16_khz(narrow: EmbeddedPmos, kind: str) -> None:
    clean = music(1, 4.0, 16000)
    hurt = degrade(clean, 16000, kind, DAMAGES[kind].at(0.9), seed=1)
    good, bad = narrow.score([Sound(clean, 16000), Sound(hurt, 16000)])
    assert bad < good - 0.5
    assert narrow.model_id == "pmos-mini-16k" and narrow.digest != EmbeddedPmos().digest


@pytest.mark.parametrize("seconds", [1.0, 1.37, 5.0])
def test_features_are_rows_of_their_own(seconds: float) -> None:
    """[B, MELS + CUES, N] with N = 50 a second; finite for silence; a row does not see another."""
    waves = torch.from_numpy(music(2, seconds))
    both = features(waves)
    assert both.shape == (2, MELS + CUES, int(seconds * 50))
    torch.testing.assert_close(both[:1], features(waves[:1]))
    assert torch.isfinite(features(torch.zeros_like(waves))).all()


def test_the_network_learns() -> None:
    """Fifteen steps on two sounds bring the loss down by half."""
    torch.manual_seed(0)
    net = PmosNet(NetConfig(kinds=("a",), width=32, layers=1, heads=2, inner=32, dropout=0.0))
    heard = features(torch.from_numpy(np.concatenate([music(1, 1.0), 0.1 * music(1, 1.0) ** 2])))
    wanted = torch.tensor([4.5, 2.0])
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    losses = []
    for _ in range(15):
        loss = (net(heard).mos - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def tiny_wav2vec2(folder: Path, **settings: object) -> Path:
    """A random Wav2Vec2ForSequenceClassification, a few thousand weights, saved in `folder`."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    config = Wav2Vec2Config(**{
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": 1,
        "intermediate_size": 16, "conv_dim": (8, 8), "conv_stride": (80, 4),
        "classifier_proj_size": 8,
        "conv_kernel": (80, 4), "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": "layer", **settings,
    })  # fmt: skip
    Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_wav2vec2_runs_a_local_folder(tmp_path: Path) -> None:
    """Scores are finite, named after the folder, independent of batch-mates; NaN stays NaN."""
    model = Wav2Vec2Pmos(str(tiny_wav2vec2(tmp_path / "mine")))
    sounds = [sound(1.5), sound(2.0, 1, 16000), sound(1.5, 1), sound(0.4)]
    scores = model.score(sounds)
    assert model.model_id == "wav2vec2@mine" and len(model.digest) == 64
    assert np.isfinite(scores[:3]).all() and np.isnan(scores[3])
    np.testing.assert_allclose(scores[1], model.score([sounds[1]])[0], atol=1e-5)


def test_wav2vec2_honours_the_feature_extractor(tmp_path: Path) -> None:
    """do_normalize and sampling_rate of preprocessor_config.json are what the model hears."""
    from transformers import Wav2Vec2FeatureExtractor

    folder = tiny_wav2vec2(tmp_path / "mine")
    plain = Wav2Vec2Pmos(str(folder))
    assert (plain.rate_hz, plain.normalise) == (16000, False)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=8000, do_normalize=True)
    extractor.save_pretrained(folder)
    told = Wav2Vec2Pmos(str(folder))
    assert (told.rate_hz, told.normalise) == (8000, True)
    one = sound(1.5)
    ready = extractor(one.mono_at(8000), sampling_rate=8000, return_tensors="pt").input_values
    with torch.inference_mode():
        expected = told._model(ready).logits.item()
    assert told.score([one])[0] == pytest.approx(expected, abs=1e-4)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """No folder, no place, a classifier, another model, a place for `embedded`: each its error."""
    with pytest.raises(WeightsMissing, match="save_pretrained"):
        resolve(f"wav2vec2@{tmp_path / 'none'}", KINDS)
    with pytest.raises(ConfigError, match="needs a place"):
        resolve("wav2vec2", KINDS)
    with pytest.raises(ModelError, match="3 outputs"):
        Wav2Vec2Pmos(str(tiny_wav2vec2(tmp_path / "classes", num_labels=3)))
    (tmp_path / "classes" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="'bert'"):
        Wav2Vec2Pmos(str(tmp_path / "classes"))
    with pytest.raises(ConfigError, match="takes no"):
        resolve("embedded@here", KINDS)
    with pytest.raises(WeightsMissing, match="reinstall"):
        EmbeddedPmos(weights=tmp_path / "gone.safetensors")
