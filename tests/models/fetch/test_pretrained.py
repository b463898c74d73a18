"""models/fetch/pretrained.py: whatever loads weights refuses a checkpoint that is not whole."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_builders import (
    as_laion,
    damaged,
    network_of,
    saved,
    small_clap,
    small_panns,
    small_vggish,
    tensors,
    tiny_clap,
    words_tokenizer,
)
from codec_builders import tiny_diffusers, tiny_mini
from finetune_builders import QUICK, tiny_encoder
from huggingface_hub import PyTorchModelHubMixin

from qamdt.evaluate.features.panns import PannsEmbedder
from qamdt.evaluate.features.vggish import VggishEmbedder
from qamdt.evaluate.features.wav2vec2 import Wav2Vec2Embedder
from qamdt.models.clap.huggingface import ClapMatch
from qamdt.models.clap.mini import load_net
from qamdt.models.fetch import registry
from qamdt.models.fetch.pretrained import (
    load_hub_mixin,
    load_pretrained,
    load_state,
    load_tokenizer,
    load_with_new,
)
from qamdt.models.finetune.network import open_network
from qamdt.models.llm.smollm import SmolLm
from qamdt.models.pmos.base import EmbeddedPmos
from qamdt.models.pmos.wav2vec2 import Wav2Vec2Pmos
from qamdt.models.tags import musicnn
from qamdt.schemas.errors import ModelError
from qamdt.train.codec.diffusers import DiffusersCodec
from qamdt.train.codec.mini import EmbeddedCodec
from qamdt.train.codec.text_encoders import ClapText, T5Text


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _scorer(folder: Path) -> Path:
    from transformers import AutoModelForAudioClassification

    init = tiny_encoder(folder.with_name("encoder"))
    AutoModelForAudioClassification.from_pretrained(init, num_labels=1).save_pretrained(folder)
    return folder


def _t5(folder: Path) -> Path:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=40, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    words_tokenizer(folder)
    return folder


def _llama(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _minilm(folder: Path) -> Path:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def _copy(source: Path) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        target = folder / source.name
        target.write_bytes(source.read_bytes())
        return target

    return make


def _small(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from safetensors.torch import save_file

        folder.mkdir()
        state = small_vggish() if kind == "vggish" else small_panns()
        save_file(state, folder / f"{kind}.safetensors", {"rate_hz": "16000"})
        return folder / f"{kind}.safetensors"

    return make


def _bert(folder: Path) -> Any:
    from transformers import AutoModel

    return load_pretrained(AutoModel, folder)


@dataclass
class Case:
    """How a whole checkpoint is made and loaded, and a tensor that it cannot do without."""

    make: Callable[[Path], Path]
    load: Callable[[Path], Any]
    tensor: str


CASES = {
    "clap@": Case(
        tiny_clap, lambda f: ClapMatch(f, least_vocabulary=5).load(),
        "audio_model.audio_encoder.layers.0.blocks.0.attention.self.query.weight",
    ),
    "clap@ text encoder": Case(
        tiny_clap, lambda f: ClapText(str(f), least_vocabulary=5).load(),
        "text_model.encoder.layer.0.attention.self.key.bias",
    ),
    "t5@ text encoder": Case(
        _t5, lambda f: T5Text(str(f), least_vocabulary=5).load(),
        "encoder.block.1.layer.0.SelfAttention.q.weight",
    ),
    "wav2vec2@ p-MOS": Case(
        _scorer, lambda f: Wav2Vec2Pmos(str(f)).load(),
        "wav2vec2.encoder.layers.1.attention.q_proj.weight",
    ),
    "wav2vec2@ p-MOS head": Case(_scorer, lambda f: Wav2Vec2Pmos(str(f)).load(), "classifier.weight"),
    "wav2vec2@ embedder": Case(
        _scorer, lambda f: Wav2Vec2Embedder(str(f)).load(),
        "wav2vec2.encoder.layers.1.attention.q_proj.weight",
    ),
    "train-pmos": Case(
        tiny_encoder, lambda f: open_network(f, QUICK, 3.0), "encoder.layers.1.attention.q_proj.weight"
    ),
    "diffusers@ vae": Case(
        tiny_diffusers, lambda f: DiffusersCodec(str(f)).load(), "encoder.conv_in.weight"
    ),
    "diffusers@ vocoder": Case(
        tiny_diffusers, lambda f: DiffusersCodec(str(f)).load(), "conv_pre.weight"
    ),
    "codec-mini": Case(
        lambda f: (f.mkdir(), tiny_mini(f / "codec.safetensors"))[1],
        lambda f: EmbeddedCodec(weights=f).load(), "encoder.conv_in.weight",
    ),
    "LLM": Case(_llama, lambda f: SmolLm(folder=f)._model, "model.layers.0.mlp.up_proj.weight"),
    "sentence embedder": Case(_minilm, _bert, "encoder.layer.0.attention.self.query.weight"),
    "pmos-mini": Case(
        _copy(registry.path("pmos-mini")), lambda f: EmbeddedPmos(weights=f).load(), ""
    ),
    "clap-mini": Case(_copy(registry.path("clap-mini")), load_net, ""),
    "musicnn": Case(
        _copy(registry.path("musicnn") / "MTT_musicnn.safetensors"), musicnn.load, "timbral.0.weight"
    ),
    "vggish@": Case(
        _small("vggish"), lambda f: VggishEmbedder(str(f)).load(), "features.3.weight"
    ),
    "panns@": Case(
        _small("panns"), lambda f: PannsEmbedder(str(f)).load(), "conv_block2.conv1.weight"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_is_whole_or_refused(name: str, tmp_path: Path) -> None:
    """The whole one loads; without one tensor, and with one of another shape, it is named."""
    case = CASES[name]
    whole = case.make(tmp_path / "whole")
    case.load(whole)
    tensor = case.tensor or next(k for k, v in tensors(whole).items() if v.ndim > 1)
    file = whole.name if whole.is_file() else "x"
    for change in ("lacks", "reshapes"):
        (tmp_path / change).mkdir()
        copy = damaged(whole, tmp_path / change / file, **{change: tensor})
        with pytest.raises(ModelError) as refused:
            case.load(copy)
        text = str(refused.value)
        assert str(copy) in text
        if name not in ("vggish@", "panns@") or change == "lacks":
            # a base model's names come without the prefix that the file has, or with it
            assert tensor in text or tensor.partition(".")[2] in text, text


@pytest.mark.parametrize("name", ["qama@", "laion@"])
def test_a_file_of_torch_is_whole_or_refused(name: str, tmp_path: Path) -> None:
    if name == "qama@":
        from qamdt.models.pmos.qama import network as load

        saved(network_of(0), tmp_path / "whole.pt")
        wanted, theirs = "feed_forward.output_dense.bias", "ssl_model.encoder.layers.1.fc2.bias"
    else:
        from qamdt.models.clap.laion import LaionMatch

        def load(file: Path) -> Any:
            return LaionMatch(str(file))._model

        torch.save({"state_dict": as_laion(small_clap().state_dict())}, tmp_path / "whole.pt")  # type: ignore[attr-defined]
        wanted, theirs = "blocks.0.attention.self.key.bias", (
            "module.audio_branch.layers.0.blocks.0.attn.qkv.bias"
        )  # fmt: skip
    load(tmp_path / "whole.pt")
    content = torch.load(tmp_path / "whole.pt", weights_only=True)
    state = content.get("state_dict", content)
    for words, change in (
        ("lacks", lambda: state.pop(theirs)),
        ("another shape", lambda: state.update({theirs: torch.zeros(9)})),
    ):
        change()
        torch.save(content, tmp_path / "part.pt")
        with pytest.raises(ModelError, match=words) as refused:
            load(tmp_path / "part.pt")
        assert wanted in str(refused.value) and str(tmp_path / "part.pt") in str(refused.value)


class Mixed(torch.nn.Module, PyTorchModelHubMixin):
    """A model of huggingface_hub's mixin, as audiobox-aesthetics is; two layers share a weight."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(width, width), torch.nn.Linear(width, width)
        self.second.weight = self.first.weight


def test_the_mixin_of_the_hub_is_held_to_it_too(tmp_path: Path) -> None:
    """It fills what a file lacks; a weight that is shared stands once in a file and is no loss."""
    Mixed().save_pretrained(tmp_path / "whole")
    stored = tensors(tmp_path / "whole")
    assert len(stored) == 3
    model = load_hub_mixin(Mixed, tmp_path / "whole")
    assert all(torch.equal(model.state_dict()[k], v) for k, v in stored.items())
    part = damaged(tmp_path / "whole", tmp_path / "part", lacks="second.bias")
    Mixed.from_pretrained(part)  # without a word
    with pytest.raises(ModelError, match=r"lacks 1 of them: second\.bias"):
        load_hub_mixin(Mixed, part, role="p-MOS model")
    other = damaged(tmp_path / "whole", tmp_path / "other", reshapes="second.bias")
    with pytest.raises(ModelError, match=r"second\.bias"):
        load_hub_mixin(Mixed, other)


def test_tied_weights_and_computed_buffers_are_no_loss(tmp_path: Path) -> None:
    """A tied head is not in the file; CLAP's index tables come out the same where it lacks them."""
    from transformers import AutoModelForCausalLM, ClapModel

    assert "lm_head.weight" not in tensors(_llama(tmp_path / "llm"))
    load_pretrained(AutoModelForCausalLM, tmp_path / "llm")
    whole = tiny_clap(tmp_path / "clap")
    table = "audio_model.audio_encoder.layers.1.blocks.0.attention.self.relative_position_index"
    part = damaged(whole, tmp_path / "part", lacks=table)
    (expected, _), (model, new) = (load_with_new(ClapModel, f) for f in (whole, part))
    torch.testing.assert_close(model.state_dict()[table], expected.state_dict()[table])
    assert not new


def test_what_is_allowed_is_new_and_nothing_else(tmp_path: Path) -> None:
    from transformers import AutoModelForAudioClassification

    folder = tiny_encoder(tmp_path / "init")
    head = ("projector.*", "classifier.*")
    _, new = load_with_new(
        AutoModelForAudioClassification, folder, num_labels=1, allow_missing=head
    )
    assert {name.partition(".")[0] for name in new} == {"projector", "classifier"}
    with pytest.raises(ModelError, match=r"lacks 2 of them: projector\.bias, projector\.weight"):
        load_with_new(AutoModelForAudioClassification, folder, num_labels=1, allow_missing=head[1:])


def test_a_file_of_another_model_is_spoken_of_once(tmp_path: Path) -> None:
    """Tensors that are not used are no error; where they are most of the file, a warning."""
    from safetensors.torch import load_file, save_file
    from transformers import BertModel

    file = _minilm(tmp_path / "bert") / "model.safetensors"
    state = load_file(file)
    for extra, warned in ((5, False), (len(state) + 1, True)):
        more = {f"other.{k}": torch.zeros(1) for k in range(extra)}
        save_file(state | more, file, {"format": "pt"})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_pretrained(BertModel, tmp_path / "bert", role="sentence embedder")
            load_pretrained(
                BertModel, tmp_path / "bert", role="sentence embedder", allow_extra=("other.*",)
            )
        texts = [str(w.message) for w in caught if "sentence embedder" in str(w.message)]
        assert len(texts) == warned and all(f"{extra} tensors" in t for t in texts)
    with pytest.raises(ModelError, match="are of no such network: other"):
        load_pretrained(BertModel, tmp_path / "bert", exact=True)


def test_load_state_takes_all_or_nothing() -> None:
    network = torch.nn.BatchNorm1d(2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    whole = {k: v + 1 for k, v in before.items()}
    for state, words in (
        ({k: v for k, v in whole.items() if k != "bias"}, r"lacks 1 of them: bias"),
        (whole | {"bias": torch.zeros(3)}, r"bias is \[3\], expected \[2\]"),
        (whole | {"other": torch.zeros(3)}, r"1 are of no such network: other"),
    ):
        with pytest.raises(ModelError, match=words):
            load_state(network, state, Path("a.pt"), role="x")
        assert all(torch.equal(network.state_dict()[k], v) for k, v in before.items())
    whole.pop("num_batches_tracked")
    load_state(network, whole, Path("a.pt"))
    assert all(torch.equal(network.state_dict()[k], v) for k, v in whole.items())


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = tiny_clap(tmp_path / "clap")
    file = whole / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=re.escape(str(whole))):
        ClapMatch(whole).load()


def test_an_empty_tokenizer_is_refused(tmp_path: Path) -> None:
    """What transformers makes of a folder without a tokenizer's files is not taken for one."""
    words_tokenizer(tmp_path / "few")
    assert len(load_tokenizer(tmp_path / "few", least=5)) > 5
    with pytest.raises(ModelError, match="expected at least 1000"):
        load_tokenizer(tmp_path / "few")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ModelError, match=re.escape(str(tmp_path / "none"))):
        load_tokenizer(tmp_path / "none", role="text encoder")


def test_weights_of_another_type_keep_their_values(tmp_path: Path) -> None:
    """float16 of our own files becomes float32, not another number."""
    file = tiny_mini(tmp_path / "codec.safetensors")
    stored, network = tensors(file), EmbeddedCodec(weights=file).network
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor.numpy(), stored[name].float().numpy())
