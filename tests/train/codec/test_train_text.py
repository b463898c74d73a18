"""text_encoders.py: token states of true length, whatever the company; refusals with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qamdt.models.clap.sentence_embedder import SentenceEmbedder
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, ModelError, WeightsMissing
from qamdt.train.codec.kinds import TEXT_ENCODERS
from qamdt.train.codec.text_encoders import (
    ClapText,
    MiniLmText,
    T5Text,
    TextEncoder,
    name_of,
)

TEXTS = ("high quality, a slow piano piece", "", "low quality", "fast drums " * 100)
WORDS = ("a", "slow", "piano", "piece", "fast", "drums", "low", "high", "quality", ",")


def _tokenizer(folder: Path, kind: str) -> None:
    """A small real tokenizer of words, with the end (and begin) marks of its family."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["<pad>", "</s>", "<unk>", "<s>"]
    vocabulary = {w: i for i, w in enumerate([*marks, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    single = "$A </s>" if kind == "t5" else "<s> $A </s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("</s>", 1), ("<s>", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def tiny_t5(folder: Path) -> Path:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(vocab_size=16, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    _tokenizer(folder, "t5")
    return folder


def tiny_clap(folder: Path) -> Path:
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    torch.manual_seed(0)
    config = ClapTextConfig(
        vocab_size=16, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, projection_dim=8, max_position_embeddings=140, pad_token_id=0,
    )  # fmt: skip
    ClapTextModelWithProjection(config).save_pretrained(folder)
    _tokenizer(folder, "clap")
    return folder


@pytest.fixture(scope="module", params=["embedded", "t5", "clap"])
def encoder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TextEncoder:
    torch.set_num_threads(1)
    if request.param == "embedded":
        return MiniLmText()
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "t5":
        return T5Text(str(tiny_t5(folder)), least_vocabulary=10)
    return ClapText(str(tiny_clap(folder)), least_vocabulary=10)


def test_states_have_the_true_length_of_their_text(encoder: TextEncoder) -> None:
    made = encoder.states(TEXTS)
    assert [s.shape[1] for s in made] == [encoder.width] * 4
    assert all(s.dtype == np.float32 and np.isfinite(s).all() for s in made)
    full, empty, low, long = (len(s) for s in made)
    assert 1 <= empty < low < full < long == 128


def test_a_text_is_encoded_alike_in_any_company(encoder: TextEncoder) -> None:
    together = encoder.states([*TEXTS, *TEXTS[:1]])
    for text, states in zip(TEXTS, together, strict=False):
        np.testing.assert_allclose(states, encoder.states([text])[0], atol=1e-5)
    assert encoder.states([]) == []


def test_the_limit_counts_the_prefix_and_keeps_the_end(encoder: TextEncoder) -> None:
    """A long caption loses its end, never its prefix; the text that remains ends as texts do."""
    long, cut = encoder.states([f"high quality, {'slow piano ' * 60}", TEXTS[0]], max_tokens=8)
    assert len(long) == 8 and len(cut) <= 8
    other = encoder.states([f"low quality, {'slow piano ' * 60}"], max_tokens=8)[0]
    assert np.abs(long - other).max() > 1e-3


def test_minilm_states_are_those_of_its_embedding() -> None:
    model = SentenceEmbedder()
    means = np.stack([s.mean(0) for s in model.states(TEXTS[:3])])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(means, model.embed(TEXTS[:3]), atol=1e-5)


def test_t5_is_read_as_transformers_reads_it(tmp_path: Path) -> None:
    """Equal to T5EncoderModel on a padded batch under its mask."""
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = T5Text(str(tiny_t5(tmp_path)), least_vocabulary=10)
    model = T5EncoderModel.from_pretrained(tmp_path).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path)(
        list(TEXTS[:3]), padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        padded = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
    for row, own, mask in zip(
        padded, encoder.states(TEXTS[:3]), batch["attention_mask"], strict=True
    ):
        np.testing.assert_allclose(own, row[mask.bool()].numpy(), atol=1e-5)


def test_an_empty_tokenizer_is_refused(tmp_path: Path) -> None:
    """transformers yields one of a few marks, without a word, where its files are missing."""
    encoder = T5Text(str(tiny_t5(tmp_path)))
    with pytest.raises(ModelError, match="has 14 entries"):
        encoder.load()


def test_what_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsMissing, match=r"has no config\.json"):
        resolve(f"t5@{tmp_path}", TEXT_ENCODERS)
    with pytest.raises(WeightsMissing, match="is no folder"):
        resolve(f"t5@{tmp_path / 'none'}", TEXT_ENCODERS)
    with pytest.raises(WeightsMissing, match="hf download some/t5"):
        resolve("t5@some/t5", TEXT_ENCODERS)
    with pytest.raises(ConfigError, match="needs a place"):
        resolve("clap", TEXT_ENCODERS)
    with pytest.raises(ConfigError, match="takes no"):
        resolve("embedded@x", TEXT_ENCODERS)
    with pytest.raises(ConfigError, match="embedded, t5, clap"):
        resolve("bert@x", TEXT_ENCODERS)


def test_encoders_are_named_by_their_weights(tmp_path: Path) -> None:
    first, second = (T5Text(str(tiny_t5(tmp_path / name))) for name in ("a", "b"))
    assert first.digest == second.digest
    assert name_of(first) == f"t5:a {first.digest}"
