"""The released class PixArt_MDT_MOS_AS_TOKEN out of a user's checkout: to compare with, not to build on.

Nothing of that code is in this package. What it imports and needs for this class (two parts of timm, the
attention of xformers) is given by the stand-ins below, written from their documented behaviour; what it
imports and does not use is empty.

xformers has no attention for a CPU. `spelled` is what it documents, the softmax of the scaled product;
`sdpa` is PyTorch's.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..network.config import ModelConfig

ATTENTIONS = ("spelled", "sdpa")


class _Mlp(nn.Module):
    """timm's names: fc1, act, fc2."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: Callable[[], nn.Module],
        drop: float,
    ) -> None:
        super().__init__()
        self.fc1, self.act = nn.Linear(in_features, hidden_features), act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class _Attention(nn.Module):
    """timm's names: what the released WindowAttention inherits."""

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, **rest: Any) -> None:
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)
        self.attn_drop = self.proj_drop = nn.Dropout(0.0)


class _BlockDiagonalMask:
    """Queries of one sample attend to its own keys: [sum N, sum S], True = attended."""

    @staticmethod
    def from_seqlens(queries: list[int], keys: list[int]) -> Tensor:
        query_sample = torch.arange(len(queries)).repeat_interleave(torch.tensor(queries))
        key_sample = torch.arange(len(keys)).repeat_interleave(torch.tensor(keys))
        return query_sample[:, None] == key_sample


def _attend(attention: str) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, p: float, attn_bias: Tensor | None) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [B, N, H, d] -> [B, H, N, d]
        if attention == "sdpa":
            return F.scaled_dot_product_attention(q, k, v, attn_bias).transpose(1, 2).contiguous()
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if attn_bias is not None:
            scores = scores.masked_fill(~attn_bias, -torch.inf)
        return (scores.softmax(-1) @ v).transpose(1, 2).contiguous()

    return attend


def load_released(folder: Path, attention: str = "spelled") -> type[nn.Module]:
    """The released class out of a checkout, with what it imports and does not use replaced."""
    code = folder / "audioldm_train" / "modules" / "diffusionmodules"
    if not (code / "PixArt.py").is_file():
        raise SystemExit(f"{folder}: no audioldm_train/modules/diffusionmodules/PixArt.py in it")
    unused_1d = {"PositionalEncoding1D": object}
    package = "audioldm_train.modules.diffusionmodules"
    unused = dict.fromkeys(
        ("ColumnParallelLinear", "ParallelEmbedding", "RowParallelLinear"), object
    )
    attend = types.SimpleNamespace(
        memory_efficient_attention=_attend(attention),
        fmha=types.SimpleNamespace(BlockDiagonalMask=_BlockDiagonalMask),
    )
    given: dict[str, dict[str, Any]] = {
        "fairscale": {}, "fairscale.nn": {}, "fairscale.nn.model_parallel": {},
        "fairscale.nn.model_parallel.layers": unused, "timm": {}, "timm.models": {},
        "timm.models.layers": {"DropPath": nn.Identity},
        "timm.models.vision_transformer": {"Mlp": _Mlp, "Attention": _Attention},
        "einops": {"rearrange": None, "repeat": None}, "torchvision": {"transforms": None},
        "positional_encodings": {}, "positional_encodings.torch_encodings": unused_1d,
        "xformers": {}, "xformers.ops": vars(attend), "audioldm_train": {},
        "audioldm_train.modules": {}, package: {"__path__": [str(code)]},
        f"{package}.attention": {"CrossAttention_1D": object},
    }  # fmt: skip
    before = {name: sys.modules.get(name) for name in given}
    try:
        for name, content in given.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(content)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
        return importlib.import_module(f"{package}.PixArt").PixArt_MDT_MOS_AS_TOKEN
    finally:
        for name in [n for n in sys.modules if n in before or n.startswith("audioldm_train")]:
            del sys.modules[name]
        sys.modules.update({name: old for name, old in before.items() if old is not None})


def build_released(
    folder: Path, config: ModelConfig, attention: str, mask_ratio: float = 0.3
) -> nn.Module:
    """The released class in the sizes of `config`; in training it masks `mask_ratio` to that + 0.2."""
    return load_released(folder, attention)(
        input_size=config.shape[1:], patch_size=config.patch, overlap=(0, 0),
        in_channels=config.channels, hidden_size=config.width, depth=config.depth,
        num_heads=config.heads, mlp_ratio=config.ffn_ratio, cond_dim=config.text_width,
        mask_ratio=mask_ratio, decode_layer=config.decoder_depth,
    )  # fmt: skip
