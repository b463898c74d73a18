"""models/clap: unit vectors whose cosine means something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import music

from qamdt.audio.sound import Sound
from qamdt.models.clap.huggingface import ClapMatch
from qamdt.models.clap.kinds import MATCHERS
from qamdt.models.clap.sentence_embedder import SentenceEmbedder
from qamdt.models.clap.tagtext import Reference, TagTextMatch, phrases
from qamdt.models.fetch.hf_folder import check_tokenizer
from qamdt.models.ref import resolve
from qamdt.models.tags.tagger import MusicnnTagger
from qamdt.schemas.errors import ConfigError, EndOfAudio, ModelError, WeightsMissing

CAPTIONS = (
    "A slow, calm piano piece.",
    "Aggressive death metal with distorted guitars and pounding drums.",
    "Driving techno with synthesizers and a drum machine.",
    "An a cappella choir sings a solemn hymn.",
)


@pytest.fixture(scope="module")
def matcher() -> TagTextMatch:
    torch.set_num_threads(1)
    model: TagTextMatch = resolve("tagtext", MATCHERS)
    return model


def some_music(seed: int, duration_s: float = 3.2) -> Sound:
    return Sound(music(duration_s, seed=seed), 44100)


def electronic_beat() -> Sound:
    """A kick on every beat, noise hats between, a pulsing square bass: as techno as it gets."""
    rate, rng = 44100, np.random.default_rng(0)
    t = np.arange(6 * rate) / rate
    beat = 60 / 130
    since = t % beat
    kick = np.sin(2 * np.pi * (50 * since + 12 * (1 - np.exp(-since * 30)))) * np.exp(-since * 12)
    off = (t + beat / 2) % beat
    hats = rng.standard_normal(len(t)) * np.exp(-off * 60) * 0.25
    bass = np.sign(np.sin(2 * np.pi * 55 * t)) * ((t % (beat / 4)) < beat / 8) * 0.2
    return Sound((0.5 * (kick + hats + bass))[None].astype(np.float32), rate)


# --- sentences ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentences() -> SentenceEmbedder:
    return SentenceEmbedder()


def test_near_in_meaning_is_near_in_angle(sentences: SentenceEmbedder) -> None:
    normed, metal, techno, choir = sentences.embed(CAPTIONS)
    peaceful, opera = sentences.embed(
        ["A peaceful piano composition.", "Voices singing in church."]
    )
    assert peaceful @ normed > max(peaceful @ x for x in (metal, techno, choir))
    assert opera @ choir > max(opera @ x for x in (normed, metal, techno))


def test_a_sentence_is_embedded_alike_in_any_company(sentences: SentenceEmbedder) -> None:
    texts = [*CAPTIONS, "piano", "", "word " * 400]
    together = sentences.embed(texts)
    alone = np.concatenate([sentences.embed([t]) for t in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert sentences.embed([]).shape == (0, 384)


def test_an_empty_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match="has 5 entries"):
        check_tokenizer("12345", Path("folder"))


# --- tagtext-mini ------------------------------------------------------------------------------


def test_vectors_are_of_length_one(matcher: TagTextMatch) -> None:
    sounds, texts = matcher.embed_audio([some_music(0)]), matcher.embed_text(CAPTIONS)
    assert sounds.shape == (1, matcher.dim) and texts.shape == (4, matcher.dim)
    assert sounds.dtype == texts.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.vstack([sounds, texts]), axis=1), 1, atol=1e-5)


def test_a_blank_text_says_nothing(matcher: TagTextMatch) -> None:
    blank = matcher.embed_text(["", CAPTIONS[0], " \n"])
    assert not blank[[0, 2]].any()
    np.testing.assert_allclose(blank[1], matcher.embed_text([CAPTIONS[0]])[0], atol=1e-6)
    assert matcher.embed_text([]).shape == (0, matcher.dim)


def test_a_caption_is_read_in_phrases() -> None:
    assert phrases("Slow, sad music with violin and band.") == [
        "Slow", "sad music", "violin", "band",
    ]  # fmt: skip
    assert phrases("a") == ["a"] and phrases("...") == ["..."]


def test_the_right_caption_fits_best(matcher: TagTextMatch) -> None:
    audio = matcher.embed_audio([electronic_beat()])[0]
    fits = matcher.embed_text(CAPTIONS) @ audio
    assert CAPTIONS[int(np.argmax(fits))].startswith("Driving techno")


def test_sounds_are_alike_in_any_company(matcher: TagTextMatch) -> None:
    together = matcher.embed_audio([some_music(1), some_music(0)])
    np.testing.assert_allclose(together[1:], matcher.embed_audio([some_music(0)]), atol=1e-5)


def test_the_tagger_and_the_matcher_hear_once(
    matcher: TagTextMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = some_music(0)
    wanted = matcher.embed_audio([sound])
    other = MusicnnTagger()
    monkeypatch.setattr(other, "_run", lambda sounds: pytest.fail("heard again"))
    other.probabilities([sound])
    np.testing.assert_array_equal(matcher.embed_audio([sound]), wanted)


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="models fetch"):
        resolve("tagtext", MATCHERS, cache=tmp_path)
    with pytest.raises(ConfigError, match="clap@FOLDER"):
        resolve("clap", MATCHERS)
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        resolve(f"clap@{tmp_path}", MATCHERS)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ModelError, match="not a tagtext reference"):
        Reference.load(tmp_path / "x.json")


# --- CLAP --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def clap_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLAP with random weights, in the layout of a real one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<s>", "<pad>", "</s>", "<unk>", *{w for c in CAPTIONS for w in c.split()}]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    text = {
        "vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 40,
    }  # fmt: skip
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1], "window_size": 8, "enable_fusion": request.param,
    }  # fmt: skip
    torch.manual_seed(0)
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    folder = tmp_path_factory.mktemp("clap")
    ClapModel(config).save_pretrained(folder)
    ClapProcessor(ClapFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def test_clap_hears_and_reads(clap_folder: Path) -> None:
    """Right shapes, unit rows, blank texts zero, nothing random, no influence of batch-mates."""
    model = ClapMatch(clap_folder, least_vocabulary=10)
    assert model.dim == 12 and model.model_id == f"clap:{clap_folder.name}"
    sounds = [some_music(i, s) for i, s in enumerate((3.0, 10.0, 12.5))]
    heard = model.embed_audio(sounds)
    assert heard.shape == (3, 12) and heard.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.embed_audio(sounds[::-1])[::-1], heard, atol=1e-5)
    read = model.embed_text([*CAPTIONS, "", "word " * 100])
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), [1, 1, 1, 1, 0, 1], atol=1e-5)
    np.testing.assert_allclose(model.embed_text([CAPTIONS[1]])[0], read[1], atol=1e-5)


def test_clap_covers_a_long_sound(clap_folder: Path) -> None:
    """Twenty seconds are the mean of the first ten and the last ten."""
    model = ClapMatch(clap_folder, least_vocabulary=10)
    samples = music(20.0, rate_hz=48000)
    whole, first, last = model.embed_audio(
        [Sound(s, 48000) for s in (samples, samples[:, :480000], samples[:, 480000:])]
    )
    mean = (first + last) / np.linalg.norm(first + last)
    np.testing.assert_allclose(whole, mean, atol=1e-4)
    with pytest.raises(EndOfAudio):
        model.embed_audio([Sound(np.zeros((1, 0), np.float32), 48000)])


def test_clap_with_an_empty_tokenizer_is_refused(clap_folder: Path) -> None:
    with pytest.raises(ModelError, match="tokenizer"):
        resolve(f"clap@{clap_folder}", MATCHERS).embed_text(["piano"])
