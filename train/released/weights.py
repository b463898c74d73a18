"""Weights of the released class PixArt_MDT_MOS_AS_TOKEN -> ours, by name.

Under `PARITY` the network is the released one: the same output to 1e-5. What differs is layout: the skip
layer is one matrix there and two here, the rows of the last layer stand in order (frame, band, channel)
there and (channel, frame, band) here, patch embedding is a convolution there and a linear layer here.
There is no null level: guidance was without text at level 3, so 3 becomes the null vector.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...schemas.errors import ModelError, WeightsMissing
from ..network.config import PARITY, ModelConfig
from ..network.positions import sincos_table

HEADS = 16  # the released configuration's; weights do not tell
NULL_LEVEL = 3
MARK = "mos_embed.weight"  # a name that this class alone has
BLOCKS = {
    "en_inblocks": "encoder_in", "en_outblocks": "encoder_out", "de_blocks": "decoder",
    "sideblocks": "side",
}  # fmt: skip
IN_BLOCK = {
    "attn.qkv": "attention.qkv", "attn.proj": "attention.out", "cross_attn.q_linear": "cross.q",
    "cross_attn.kv_linear": "cross.kv", "cross_attn.proj": "cross.out", "mlp.fc1": "feed_forward.inside",
    "mlp.fc2": "feed_forward.out", "scale_shift_table": "table",
}  # fmt: skip
OUTSIDE = {
    "t_embedder.mlp.0": "time.inside", "t_embedder.mlp.2": "time.out", "t_block.1": "time_to_blocks",
    "y_embedder": "text", "x_embedder.proj": "embed", "final_layer.linear": "final.out",
    "final_layer.scale_shift_table": "final.table", "mos_embed.weight": "quality.levels",
    "mask_token": "mask_token", "decoder_pos_embed": "decoder_position",
}  # fmt: skip


def import_released(
    path: Path, *, heads: int = HEADS, ema: bool = False
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Configuration and state dict of ours, from a checkpoint of the released class.

    path     .safetensors, or a pickle (.pt, .ckpt) that holds tensors and plain values alone
    heads    attention heads, which weights do not tell
    ema      take the EMA of the weights instead of the last ones

    Raises WeightsMissing (no file), ModelError (not this class, or a part is missing) and ConfigError.
    """
    state = _of_class(read_state(path), path, ema)
    config = config_of(state, heads)
    return config, translate(state, config)


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint; those under "state_dict" or "model" where it has one."""
    if not path.is_file():
        raise WeightsMissing(f"{path}: no such file; expected a checkpoint of the released class")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as e:
        raise ModelError(
            f"{path} cannot be read as tensors alone ({e}); save its state_dict as safetensors where "
            "it was made"
        ) from e
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds a {type(content).__name__}: expected a state_dict")
    return {k: v for k, v in content.items() if isinstance(v, Tensor)}


def _of_class(state: dict[str, Tensor], path: Path, ema: bool) -> dict[str, Tensor]:
    """The tensors of the network, by the names that the class gives them."""
    marks = [name for name in state if name.endswith(MARK)]
    if len(marks) != 1:
        raise ModelError(
            f"{path}: expected one tensor {MARK}, found {len(marks)}; this is no checkpoint of "
            "PixArt_MDT_MOS_AS_TOKEN"
        )
    prefix = marks[0].removesuffix(MARK)
    network = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not ema:
        return network
    flat = "model_ema." + prefix.removeprefix("model.").replace(".", "")
    averages = {k: state.get(flat + k.replace(".", "")) for k in network if k != "pos_embed"}
    missing = sorted(k for k, v in averages.items() if v is None)
    if missing:
        raise ModelError(f"{path} has no EMA of {', '.join(missing[:3])}; import without ema")
    return network | {k: v for k, v in averages.items() if v is not None}


def config_of(state: Mapping[str, Tensor], heads: int = HEADS) -> ModelConfig:
    """The configuration that the shapes of the released tensors imply (no overlap: theirs is broken)."""
    missing = [k for k in (*_SHAPES, "pos_embed") if k not in state]
    if missing:
        raise ModelError(f"the checkpoint has no {', '.join(missing)}")
    width, channels, patch_frames, patch_bands = state["x_embedder.proj.weight"].shape
    counts = {
        kind: len({name.split(".")[1] for name in state if name.startswith(kind + ".")})
        for kind in BLOCKS
    }
    sizes: dict[str, Any] = {
        "width": width, "heads": heads, "channels": channels, "patch_frames": patch_frames,
        "patch_bands": patch_bands, "decoder_depth": counts["de_blocks"],
        "depth": counts["en_inblocks"] + counts["en_outblocks"] + counts["de_blocks"],
        "text_width": state["y_embedder.weight"].shape[1],
        "ffn_ratio": state["en_inblocks.0.mlp.fc1.weight"].shape[0] / width,
    }  # fmt: skip
    table = state["pos_embed"].float().flatten(0, 1)
    for bands in (n for n in range(1, len(table) + 1) if len(table) % n == 0):
        frames = len(table) // bands
        config = ModelConfig(
            **sizes, **PARITY, frames=frames * patch_frames, bands=bands * patch_bands
        )
        if torch.allclose(sincos_table(config), table, atol=2e-3):
            return config
    raise ModelError(
        f"the positions of {len(table)} patches fit no grid: the checkpoint was trained with another "
        "table, or with overlap, which is not supported"
    )


_SHAPES = ("x_embedder.proj.weight", "y_embedder.weight", "en_inblocks.0.mlp.fc1.weight")


def translate(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our state dict, float32, from the released one. Raises ModelError for a strange name or shape."""
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name != "pos_embed":
            ours.update(_translated(name, tensor.float(), config))
    ours["quality.null"] = ours["quality.levels"][NULL_LEVEL - 1].clone()
    return {name: tensor.contiguous() for name, tensor in ours.items()}


def _translated(name: str, tensor: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    kind, _, rest = name.partition(".")
    if kind not in BLOCKS:
        stem, _, what = name.rpartition(".")
        new = OUTSIDE.get(name) or (f"{OUTSIDE[stem]}.{what}" if stem in OUTSIDE else None)
        if new is None:
            raise ModelError(f"{name}: the released class has no such tensor")
        return {new: _laid_out(new, tensor, config)}
    number, _, inside = rest.partition(".")
    place = "side" if kind == "sideblocks" else f"{BLOCKS[kind]}.{number}"
    if inside == "skip_linear.weight":
        x, skip = tensor.chunk(2, 1)
        return {f"{place}.join.x.weight": x, f"{place}.join.skip.weight": skip}
    if inside == "skip_linear.bias":
        return {f"{place}.join.x.bias": tensor}
    stem, _, what = inside.rpartition(".")
    if inside in IN_BLOCK:
        return {f"{place}.{IN_BLOCK[inside]}": tensor}
    if stem in IN_BLOCK:
        return {f"{place}.{IN_BLOCK[stem]}.{what}": tensor}
    raise ModelError(f"{name}: the released class has no such tensor")


def _laid_out(name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
    """The tensor in our order of axes."""
    if name == "embed.weight":
        return tensor.flatten(1)  # [D, C, p_l, p_f]
    if name.startswith("final.out"):
        rows = tensor.view(config.patch_frames, config.patch_bands, config.channels, -1)
        return rows.permute(2, 0, 1, 3).reshape(tensor.shape)
    if name in ("mask_token", "decoder_position"):
        return tensor.view(-1, config.width).squeeze(0) if name == "mask_token" else tensor[0]
    return tensor
