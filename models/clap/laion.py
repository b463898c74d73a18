"""CLAP as LAION published it: one .pt file, read into transformers' ClapModel.

`laion@FILE.pt` takes the tokenizer from the folder `roberta-base` beside FILE (tokenizer.json, or
vocab.json and merges.txt, of the model roberta-base); `laion@FILE.pt#FOLDER` from FOLDER. Only texts
need it. Sizes are read from the tensors, so that every published checkpoint fits (HTSAT-tiny and
-base, with and without fusion). Windows are those of `clap.py`; nothing is cropped at random.
`laion@FILE.pt?int16=true` passes samples through 16-bit integers, as the package laion-clap does
when it is given arrays or files: to compare with its numbers. Texts are cut at its 77 tokens.

Source: Wu et al. 2023, arXiv 2211.06687; Chen et al. 2022 (HTSAT), arXiv 2202.00874.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import ModelError, WeightsMissing
from ...schemas.hashing import hash_weights
from ..fetch.hf_folder import LEAST_VOCABULARY, with_recipe
from ..fetch.pretrained import load_state, load_tokenizer
from ..fetch.torch_file import read_content, tensors_of
from ..ref import Options, with_options
from .huggingface import RECIPE, ClapMatch

TOKENIZER = "roberta-base"
DEFAULTS: Options = {"int16": False}
# Tensors of the file that the joint space does not need, or that transformers computes.
UNUSED = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\."
    r"|(audio|text)_transform\.|.*\.attn_mask$|.*position_ids$|.*token_type_ids$"
)
PARTS = {
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
    ".attn.proj.": ".attention.output.dense.",
    ".attn.": ".attention.self.",
    ".bn0.": ".batch_norm.",
    "_projection.0.": "_projection.linear1.",
    "_projection.2.": "_projection.linear2.",
}


class LaionMatch(ClapMatch):
    """A checkpoint of LAION. Raises WeightsMissing where the file is not there."""

    def __init__(
        self, where: str, device: str = "cpu", least_vocabulary: int = LEAST_VOCABULARY
    ) -> None:
        place, options = with_options("laion", where, DEFAULTS)
        file, _, folder = place.partition("#")
        self._file = Path(file).expanduser()
        if not self._file.is_file():
            raise WeightsMissing(f"model laion@{where}: there is no file {file}")
        self._tokens = Path(folder).expanduser() if folder else self._file.parent / TOKENIZER
        self._int16 = bool(options["int16"])
        self.model_id = f"laion:{self._file.stem}" + ("+int16" if self._int16 else "")
        self.digest = with_recipe(hash_weights([self._file]), RECIPE)
        self._device = device
        self._least_vocabulary = least_vocabulary

    longest_text = 77

    def _extract(self, windows: list[np.ndarray]) -> np.ndarray:
        return super()._extract([by_16_bits(w) for w in windows] if self._int16 else windows)

    def _has_tokenizer(self) -> bool:
        return self._tokens.is_dir()

    def _network(self) -> Any:
        from transformers import ClapConfig, ClapModel

        state = read_state(self._file)
        try:
            model: Any = ClapModel(ClapConfig(**sizes(state)))
        except (KeyError, IndexError, RuntimeError, ValueError) as error:
            raise ModelError(f"{self._file} is no CLAP of LAION: {error!r}") from error
        load_state(model, renamed(state), self._file, role="audio-text model laion")
        return model

    @cached_property
    def _extractor(self) -> Any:
        from transformers import ClapFeatureExtractor

        # Its other defaults are the authors' front end; bands from 0 Hz on would be wrong.
        return ClapFeatureExtractor(frequency_min=50, frequency_max=14_000)

    @cached_property
    def _tokenizer(self) -> Any:
        if not self._tokens.is_dir():
            raise WeightsMissing(
                f"model laion@{self._file}: texts need the tokenizer of roberta-base in "
                f"{self._tokens}; put it there, or write laion@FILE#FOLDER"
            )
        return load_tokenizer(
            self._tokens, role="audio-text model laion", least=self._least_vocabulary
        )


def by_16_bits(wave: np.ndarray) -> np.ndarray:
    """Samples as 16-bit integers and back, cut at full scale and towards zero: laion-clap's way."""
    return ((wave.clip(-1, 1) * 32767).astype(np.int16) / 32767).astype(np.float32)


def read_state(file: Path) -> dict[str, Any]:
    """The tensors of a checkpoint, without a training wrapper's names. Raises ModelError."""
    state = tensors_of(read_content(file), "state_dict")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors under the names of transformers; the joint qkv matrices in three."""
    made = {}
    for name, tensor in state.items():
        if UNUSED.match(name):
            continue
        name = name.replace("text_branch.", "text_model.", 1)
        if name.startswith("audio_branch."):
            name = name.replace("audio_branch.", "audio_model.audio_encoder.", 1)
        if name.startswith(("audio_model.", "audio_projection.", "text_projection.")):
            for theirs, ours in PARTS.items():
                name = name.replace(theirs, ours)
        if ".qkv." in name:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                made[name.replace(".qkv.", f".{part}.")] = rows
        else:
            made[name] = tensor
    return made


def sizes(state: dict[str, Any]) -> dict[str, Any]:
    """The configuration that fits the tensors. Raises KeyError where they are not CLAP's."""
    patch = state["audio_branch.patch_embed.proj.weight"]
    blocks = re.compile(r"audio_branch\.layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight")
    places = [tuple(map(int, m.groups())) for m in map(blocks.match, state) if m]
    depths = [
        1 + max(b for a, b in places if a == layer) for layer in sorted({a for a, _ in places})
    ]
    bias = "audio_branch.layers.{}.blocks.0.attn.relative_position_bias_table"
    heads = [int(state[bias.format(layer)].shape[1]) for layer in range(len(depths))]
    words = state["text_branch.embeddings.word_embeddings.weight"]
    positions = state["text_branch.embeddings.position_embeddings.weight"]
    layers = {k.split(".")[3] for k in state if k.startswith("text_branch.encoder.layer.")}
    inner = state["text_branch.encoder.layer.0.intermediate.dense.weight"]
    return {
        "projection_dim": int(state["audio_projection.0.weight"].shape[0]),
        "audio_config": {
            "patch_embeds_hidden_size": int(patch.shape[0]),
            "hidden_size": int(state["audio_branch.norm.weight"].shape[0]),
            "depths": depths,
            "num_attention_heads": heads,
            "enable_fusion": any("fusion_model" in k for k in state),
            "projection_dim": int(state["audio_projection.0.weight"].shape[0]),
        },
        "text_config": {
            "vocab_size": int(words.shape[0]),
            "hidden_size": int(words.shape[1]),
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(1, int(words.shape[1]) // 64),  # RoBERTa's heads are of 64
            "intermediate_size": int(inner.shape[0]),
            "max_position_embeddings": int(positions.shape[0]),
            "type_vocab_size": 1,
            "projection_dim": int(state["text_projection.0.weight"].shape[0]),
        },
    }
