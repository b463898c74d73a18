"""Tiny checkpoints of random weights, and copies of them that lack a tensor or have another shape."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import torch

from qamdt.evaluate.features import panns, vggish

WORDS = (
    "a slow calm aggressive driving fast loud quiet sad happy piano guitar drums choir techno metal "
    "with and of the"
).split()


KERNELS = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]
THEIRS = (  # torchaudio's name -> fairseq's, the inverse of torchaudio's import_fairseq
    (r"^feature_extractor\.conv_layers\.0\.layer_norm\.", "feature_extractor.conv_layers.0.2."),
    (r"^feature_extractor\.conv_layers\.(\d+)\.conv\.", r"feature_extractor.conv_layers.\1.0."),
    (r"^encoder\.feature_projection\.layer_norm\.", "layer_norm."),
    (r"^encoder\.feature_projection\.projection\.", "post_extract_proj."),
    (r"^encoder\.transformer\.pos_conv_embed\.conv\.", "encoder.pos_conv.0."),
    (r"parametrizations\.weight\.original0", "weight_g"),
    (r"parametrizations\.weight\.original1", "weight_v"),
    (r"^encoder\.transformer\.", "encoder."),
    (r"\.attention\.", ".self_attn."),
    (r"(layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"\.feed_forward\.intermediate_dense\.", ".fc1."),
    (r"\.feed_forward\.output_dense\.", ".fc2."),
)


def words_tokenizer(folder: Path, words: list[str] | None = None) -> None:
    """A real tokenizer of whole words, of a few entries."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {w: i for i, w in enumerate([*marks, *(words or WORDS)])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", pad_token="<pad>", eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(folder)  # fmt: skip


def tiny_clap(folder: Path, seed: int = 0, words: list[str] | None = None) -> Path:
    """A ClapModel with its processor, in the layout of a real one. words: of its tokenizer."""
    from transformers import (
        AutoTokenizer,
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapProcessor,
    )

    text = {
        "vocab_size": len(words or WORDS) + 4, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 40,
    }  # fmt: skip
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1], "window_size": 8,
    }  # fmt: skip
    torch.manual_seed(seed)
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(
        folder
    )
    words_tokenizer(folder, words)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ClapProcessor(ClapFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the safetensors files of a folder, or of one file."""
    from safetensors.torch import load_file

    files = [folder] if folder.is_file() else sorted(folder.rglob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def damaged(whole: Path, into: Path, *, lacks: str = "", reshapes: str = "") -> Path:
    """A copy of a folder or file: one tensor left out, or another shape (its first axis one longer)."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    if whole.is_dir():
        shutil.copytree(whole, into)
    else:
        shutil.copy(whole, into)
    for file in [into] if into.is_file() else sorted(into.rglob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
        state = load_file(file)
        state.pop(lacks, None)
        if reshapes in state:
            state[reshapes] = torch.cat([state[reshapes], state[reshapes][:1]])
        save_file(state, file, about)
    return into


def small_vggish() -> dict[str, torch.Tensor]:
    """VGGish with few channels: the same layers, kernels and pooling."""
    gen, width = torch.Generator().manual_seed(0), (4, 6, 8, 8, 10, 10)
    state, before = {}, 1
    for k, channels in zip(vggish.CONVOLUTIONS, width, strict=True):
        state[f"features.{k}.weight"] = torch.randn(channels, before, 3, 3, generator=gen) / 3
        state[f"features.{k}.bias"] = torch.randn(channels, generator=gen)
        before = channels
    for k, (a, b) in zip(vggish.DENSE, ((before * 24, 16), (16, 16), (16, 12)), strict=True):
        state[f"embeddings.{k}.weight"] = torch.randn(b, a, generator=gen) / a**0.5
        state[f"embeddings.{k}.bias"] = torch.randn(b, generator=gen)
    return state


def small_panns(classes: int = 9) -> dict[str, torch.Tensor]:
    gen = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "running_var"):
            state[f"{name}.{part}"] = 0.5 + torch.rand(width, generator=gen)
        for part in ("bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(width, generator=gen)

    norm("bn0", 64)
    before = 1
    for k, width in zip(panns.BLOCKS, (2, 3, 4, 5, 6, 7), strict=True):
        for half, inputs in ((1, before), (2, width)):
            name = f"conv_block{k}.conv{half}.weight"
            state[name] = torch.randn(width, inputs, 3, 3, generator=gen) / 3
            norm(f"conv_block{k}.bn{half}", width)
        before = width
    for name, (a, b) in {"fc1": (before, 11), "fc_audioset": (11, classes)}.items():
        state[f"{name}.weight"] = torch.randn(b, a, generator=gen)
        state[f"{name}.bias"] = torch.randn(b, generator=gen)
    return state


def small_clap(vocabulary: int = 50) -> Any:
    from transformers import ClapConfig, ClapModel

    torch.manual_seed(0)
    return ClapModel(
        ClapConfig(
            projection_dim=12,
            audio_config={
                "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 2, 1],
                "num_attention_heads": [1, 2, 2, 4], "projection_dim": 12,
            },
            text_config={
                "vocab_size": vocabulary, "hidden_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 1, "intermediate_size": 24, "projection_dim": 12,
                "max_position_embeddings": 30, "type_vocab_size": 1,
            },
        )
    ).eval()  # fmt: skip


def as_laion(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under LAION's names, written out by hand: the reverse of what is read."""
    made: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if ".attention.self.query." in name and name.startswith("audio"):
            three = [state[name.replace("query", p)] for p in ("query", "key", "value")]
            name, tensor = name.replace("attention.self.query", "attn.qkv"), torch.cat(three)
        elif name.startswith("audio") and (".self.key." in name or ".self.value." in name):
            continue
        if name.startswith("audio_model."):
            for ours, theirs in (
                ("audio_model.audio_encoder.", "audio_branch."), ("layernorm_before", "norm1"),
                ("layernorm_after", "norm2"), ("attention.output.dense", "attn.proj"),
                ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
                ("attention.self", "attn"), ("batch_norm", "bn0"),
            ):  # fmt: skip
                name = name.replace(ours, theirs)
        name = name.replace("text_model.", "text_branch.")
        name = name.replace("_projection.linear1", "_projection.0")
        name = name.replace("_projection.linear2", "_projection.2")
        made[f"module.{name}"] = tensor
    made["module.audio_branch.spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(1)
    made["module.audio_transform.sequential.0.weight"] = torch.zeros(1)
    return made


def network_of(seed: int) -> Any:
    """A small wav2vec 2.0 of torchaudio, of random weights."""
    from torchaudio.models import wav2vec2_model

    torch.manual_seed(seed)
    made = wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=[(32, k, s) for k, s in KERNELS],
        extractor_conv_bias=False,
        encoder_embed_dim=128,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=16,
        encoder_pos_conv_groups=4,
        encoder_num_layers=2,
        encoder_num_heads=2,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=96,
        encoder_ff_interm_dropout=0.1,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.1,
        aux_num_out=None,
    ).eval()
    for (
        parameter
    ) in made.parameters():  # biases and norms of new networks are 0 and 1: hide no swap
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def as_fairseq(network: Any) -> dict[str, torch.Tensor]:
    """Its tensors under fairseq's names."""
    made = {}
    for name, tensor in network.state_dict().items():
        for ours, theirs in THEIRS:
            name = re.sub(ours, theirs, name)
        made[name] = tensor
    return made


def heads(width: int = 128) -> dict[str, torch.Tensor]:
    return {
        "output_layer_arch1.weight": torch.randn(1, width),
        "output_layer_arch1.bias": torch.randn(1),
        "fc1.weight": torch.randn(256, width),
        "output_layer_class.weight": torch.randn(5, width),
    }


def saved(network: Any, file: Path) -> dict[str, torch.Tensor]:
    """A file as the authors save it; returns its heads."""
    made = heads()
    trunk = {f"ssl_model.{k}": v for k, v in as_fairseq(network).items()}
    trunk |= {
        "ssl_model.mask_emb": torch.randn(128),
        "ssl_model.quantizer.vars": torch.randn(1, 4, 4),
        "ssl_model.final_proj.weight": torch.randn(8, 128),
    }
    torch.save(trunk | made, file)
    return made
