"""p-MOS by QAMA, the model of the paper's authors: wav2vec 2.0 base with a linear head.

`qama@FILE` is one network (`qama_full.pt`, say); `qama@FOLDER` is the mean of `qama_fold1.pt`,
`qama_fold2.pt` and `qama_fold3.pt`, the authors' column `Mean CV`, which they recommend. Such a file
holds the whole network, fairseq's wav2vec 2.0 under `ssl_model.`; where it holds heads alone, the
wav2vec 2.0 is taken from fairseq's `checkpoint_best.pt` beside it. fairseq is not needed.

As the authors do it: 16 kHz, the mean of the first two channels, no normalisation, the mean over
time of the last layer, one linear output, neither scaled nor clamped. A sound of up to 30 s is heard
whole; a longer one, other than theirs, in equal windows of at most 30 s, whose mean is the score.
Their training data were at one loudness: `qama@FILE?loudness_lufs=-23` brings sounds to it.

Source: Ragano, Benetos, Hines 2023 (github.com/alessandroragano/music-archive-quality-prediction).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import ModelError, WeightsMissing
from ...schemas.hashing import hash_weights
from ..fetch.pretrained import load_state
from ..fetch.torch_file import read_content, tensors_of
from ..ref import Options, require_path, with_options
from .wav2vec2 import MASK, MIN_S, Hearing, predict
from .windows import sane

DEFAULTS: Options = {"loudness_lufs": math.nan}  # nan: as it is
FOLDS = ("qama_fold1.pt", "qama_fold2.pt", "qama_fold3.pt")
BASE = "checkpoint_best.pt"
HEAD = "output_layer_arch1"  # the others are of the authors' experiments
# Strides are not in the file: those of wav2vec 2.0 belong to these kernels.
KERNELS = (10, 3, 3, 3, 3, 2, 2)
HEAD_WIDTH = 64  # of an attention head, in all published sizes
# Only pre-training uses these.
UNUSED = re.compile(r"(quantizer|project_q|final_proj|project_inp|target_glu|mask_emb)\b")
NAMES = (  # fairseq's name -> that of transformers, in this order
    (r"^feature_extractor\.conv_layers\.0\.2\.", "feature_extractor.conv_layers.0.layer_norm."),
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)  # fmt: skip


class QamaPmos:
    """`qama@FILE_OR_FOLDER`. Raises WeightsMissing where the files are not there."""

    def __init__(self, where: str | None = None, device: str = "cpu") -> None:
        place, options = with_options("qama", require_path("qama", where or "", "FILE"), DEFAULTS)
        self._files = files_of(Path(place).expanduser())
        level = float(options["loudness_lufs"])
        self.front_end = Hearing(loudness_lufs=None if math.isnan(level) else level)
        name = self._files[0].stem if len(self._files) == 1 else "mean-cv"
        loud = "" if math.isnan(level) else f"@{level:g}LUFS"
        self.model_id = f"qama:{name}{loud}"
        base = self._files[0].with_name(BASE)
        self.digest = hash_weights([*self._files, *([base] if base.is_file() else [])])
        self._device = device

    def load(self) -> None:
        """Load the networks; otherwise the first use does. Raises ModelError."""
        _ = self._networks

    @cached_property
    def _networks(self) -> list[Any]:
        return [network(file).to(self._device) for file in self._files]

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """See `PmosModel.score`."""
        known = [k for k, sound in enumerate(sounds) if sane(sound, MIN_S)]
        out = np.full(len(sounds), np.nan, np.float32)
        waves = [self.front_end.wave(two_channels(sounds[k])) for k in known]
        out[known] = np.mean([predict(n, self.front_end, waves) for n in self._networks], axis=0)
        return out


def files_of(place: Path) -> list[Path]:
    """The networks of a file or a folder. Raises WeightsMissing."""
    if place.is_file():
        return [place]
    files = [place / name for name in FOLDS]
    if missing := [file.name for file in files if not file.is_file()]:
        raise WeightsMissing(
            f"model qama@{place}: there is no {missing[0]}; give a folder with {', '.join(FOLDS)}, "
            "or one file such as qama_full.pt"
        )
    return files


def two_channels(sound: Sound) -> Sound:
    """The first two channels, which is all that the authors read."""
    return sound if len(sound.samples) <= 2 else replace(sound, samples=sound.samples[:2], memo={})


def network(file: Path) -> Any:
    """The network of one file, in evaluation mode. Raises ModelError.

    The head comes before the mean over time, as transformers has it: both are linear.
    """
    import torch
    from transformers import Wav2Vec2ForSequenceClassification

    state = tensors_of(read_content(file), "state_dict", "model_state_dict")
    trunk = {
        k.removeprefix("ssl_model."): v for k, v in state.items() if k.startswith("ssl_model.")
    }
    if not trunk:
        trunk = _base(file)
    try:
        with torch.device("meta"):
            model: Any = Wav2Vec2ForSequenceClassification(config_of(trunk))
        named = {f"wav2vec2.{name}": tensor for name, tensor in renamed(trunk).items()}
        named["projector.weight"] = state[f"{HEAD}.weight"]
        named["projector.bias"] = state[f"{HEAD}.bias"]
        named["classifier.weight"], named["classifier.bias"] = torch.ones(1, 1), torch.zeros(1)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise ModelError(f"{file} is no QAMA on wav2vec 2.0 base: {error}") from error
    load_state(model, named, file, role="p-MOS model qama", allow_missing=(MASK,), assign=True)
    model.wav2vec2.masked_spec_embed = None
    return model.float().eval()


def _base(file: Path) -> dict[str, Any]:
    """fairseq's wav2vec 2.0 beside a file that holds heads alone."""
    base = file.with_name(BASE)
    if not base.is_file():
        raise WeightsMissing(
            f"{file} holds no `ssl_model.*`, and there is no {BASE} beside it: put fairseq's wav2vec "
            "2.0 there, or give a file that holds the whole network"
        )
    return tensors_of(read_content(base), "model")


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    """fairseq's wav2vec 2.0 under the names of transformers."""
    made = {}
    for name, tensor in state.items():
        if UNUSED.match(name):
            continue
        for theirs, ours in NAMES:
            name = re.sub(theirs, ours, name)
        made[name] = tensor
    return made


def config_of(state: dict[str, Any]) -> Any:
    """The configuration that fits fairseq's tensors. Raises KeyError, ValueError for other ones."""
    from transformers import Wav2Vec2Config

    convs = [state[f"feature_extractor.conv_layers.{k}.0.weight"] for k in range(len(KERNELS))]
    if tuple(int(conv.shape[2]) for conv in convs) != KERNELS:
        raise ValueError(f"kernels {[int(c.shape[2]) for c in convs]}, expected {list(KERNELS)}")
    hidden, per_group, width = state["encoder.pos_conv.0.weight_v"].shape
    layers = {int(k.split(".")[2]) for k in state if k.startswith("encoder.layers.")}
    config = Wav2Vec2Config(
        hidden_size=int(hidden),
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, int(hidden) // HEAD_WIDTH),
        intermediate_size=int(state["encoder.layers.0.fc1.weight"].shape[0]),
        conv_dim=[int(conv.shape[0]) for conv in convs],
        conv_bias="feature_extractor.conv_layers.0.0.bias" in state,
        num_conv_pos_embeddings=int(width),
        num_conv_pos_embedding_groups=int(hidden) // int(per_group),
        classifier_proj_size=1,
        apply_spec_augment=False,
    )
    config.num_labels = 1
    return config
