"""The sizes and forms of the network: one frozen dataclass, the one place of their defaults.

Defaults are the paper's (QA-MDT, arXiv 2405.15863) where it speaks. The released class
PixArt_MDT_MOS_AS_TOKEN is the same network under `PARITY`: other positions, feed-forward and
quality initialisation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...schemas.errors import ConfigError
from ...schemas.settings import setting

POSITIONS = ("rope2d", "sincos")
FEED_FORWARDS = ("swiglu", "gelu")


@dataclass(frozen=True)
class ModelConfig:
    """One quality-aware masked diffusion transformer. Raises ConfigError for what cannot be built.

    A latent is [channels, frames, bands]; a patch covers patch_frames x patch_bands of it (the
    paper's p_l x p_f) and shares overlap_frames x overlap_bands with its neighbours.
    """

    width: int = setting(384, "width D of a token")
    depth: int = setting(
        12, "blocks: N encoder and M decoder blocks together (one side block more)"
    )
    decoder_depth: int = setting(4, "M, blocks that see all tokens; the paper's xl has 8")
    heads: int = setting(6, "attention heads")
    channels: int = setting(8, "channels of the latent")
    frames: int = setting(256, "frames of the latent: its time axis")
    bands: int = setting(16, "bands of the latent: its frequency axis")
    patch_frames: int = setting(4, "frames of a patch")
    patch_bands: int = setting(1, "bands of a patch")
    overlap_frames: int = setting(0, "frames that neighbouring patches share")
    overlap_bands: int = setting(0, "bands that neighbouring patches share")
    text_width: int = setting(1024, "width E of the text encoder's states; Flan-T5-large has 1024")
    position: str = setting("rope2d", "rope2d (paper) or sincos (released code)", POSITIONS)
    band_position: bool = setting(
        True, "a learned vector for each row of patches along frequency: rotation tells distances"
    )
    rope_base: float = setting(10000.0, "base of the rotary frequencies (RoFormer, eq. 15)")
    decoder_position: bool = setting(False, "learned position before the decoder (released code)")
    ffn: str = setting("swiglu", "feed-forward: swiglu, or gelu (released code)", FEED_FORWARDS)
    ffn_ratio: float = setting(4.0, "inner width / D of gelu; swiglu takes 2/3 of it, as costly")
    qk_norm: bool = setting(True, "RMS norm of queries and keys, per head")
    input_skip: bool = setting(
        True, "decoder blocks see the noisy input by a skip, masked tokens included (MDTv2)"
    )
    quality_std: float = setting(0.02, "deviation of the quality vectors at the start; released 1")

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)!r}: expected at least 1")
        for name, choices in (("position", POSITIONS), ("ffn", FEED_FORWARDS)):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} = {getattr(self, name)!r}: expected one of {', '.join(choices)}"
                )
        for axis in ("frames", "bands"):
            patch, overlap = getattr(self, f"patch_{axis}"), getattr(self, f"overlap_{axis}")
            if not 0 <= overlap < patch:
                raise ConfigError(
                    f"overlap_{axis} = {overlap}: expected 0 to {patch - 1}, less than patch_{axis}"
                )
        self._check_blocks()

    def _check_blocks(self) -> None:
        encoder = self.depth - self.decoder_depth
        if encoder < 2 or encoder % 2:
            raise ConfigError(
                f"depth {self.depth} less decoder_depth {self.decoder_depth} leaves {encoder} encoder "
                "blocks: expected an even number from 2, as each skip joins two of them"
            )
        if self.width % self.heads:
            raise ConfigError(f"width = {self.width}: expected a multiple of heads = {self.heads}")
        if self.position == "rope2d" and self.head_width % 4:
            raise ConfigError(
                f"width / heads = {self.head_width}: rope2d needs a multiple of 4 (pairs, two axes)"
            )
        if self.position == "sincos" and self.width % 4:
            raise ConfigError(f"width = {self.width}: sincos needs a multiple of 4")
        if not (self.ffn_ratio > 0 and self.rope_base > 1 and self.quality_std >= 0):
            raise ConfigError("expected ffn_ratio > 0, rope_base > 1 and quality_std >= 0")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def encoder_depth(self) -> int:
        """N: half of the blocks send a skip, half receive it."""
        return self.depth - self.decoder_depth

    @property
    def inner(self) -> int:
        """Inner width of the feed-forward; for swiglu a multiple of 8 near two thirds of gelu's."""
        full = self.width * self.ffn_ratio
        return round(full) if self.ffn == "gelu" else 8 * max(1, round(full * 2 / 3 / 8))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, T, F) of a latent."""
        return self.channels, self.frames, self.bands

    @property
    def patch(self) -> tuple[int, int]:
        return self.patch_frames, self.patch_bands

    @property
    def overlap(self) -> tuple[int, int]:
        return self.overlap_frames, self.overlap_bands

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along time and frequency: ceil((L - p) / (p - o)) + 1, the paper's formula."""
        time = patches_along(self.frames, self.patch_frames, self.overlap_frames)
        return time, patches_along(self.bands, self.patch_bands, self.overlap_bands)

    @property
    def patches(self) -> int:
        """P, the tokens of a latent."""
        return math.prod(self.grid)

    @property
    def patch_size(self) -> int:
        """Numbers in one patch."""
        return self.channels * self.patch_frames * self.patch_bands

    def plain(self) -> dict[str, Any]:
        """For JSON; `from_plain` reads it back."""
        return dataclasses.asdict(self)


_POSITIVE = (
    "width", "depth", "decoder_depth", "heads", "channels", "frames", "bands", "patch_frames",
    "patch_bands", "text_width",
)  # fmt: skip


def patches_along(length: int, patch: int, overlap: int) -> int:
    """Patches that cover an axis; one, padded, where the patch is longer than the axis."""
    return max(0, math.ceil((length - patch) / (patch - overlap))) + 1


def from_plain(values: Mapping[str, Any]) -> ModelConfig:
    """The configuration that `plain` wrote. Raises ConfigError for a name that does not exist."""
    known = {f.name for f in dataclasses.fields(ModelConfig)}
    strange = sorted(set(values) - known)
    if strange:
        raise ConfigError(
            f"model: no such setting {', '.join(strange)}; there are {', '.join(sorted(known))}"
        )
    return ModelConfig(**values)


PARITY: dict[str, Any] = {  # the released class's forms
    "position": "sincos", "band_position": False, "decoder_position": True, "ffn": "gelu",
    "qk_norm": False, "quality_std": 1.0,
}  # fmt: skip

SIZES: dict[str, dict[str, int]] = {
    # under 2 M parameters and 64 tokens: for tests and CPUs
    "nano": {
        "width": 96, "depth": 6, "decoder_depth": 2, "heads": 4, "patch_frames": 16, "patch_bands": 4,
    },
    "s": {"width": 384, "depth": 12, "decoder_depth": 4, "heads": 6},
    "b": {"width": 768, "depth": 12, "decoder_depth": 4, "heads": 12},
    # the paper's
    "xl": {"width": 1152, "depth": 28, "decoder_depth": 8, "heads": 16},
}  # fmt: skip


def sized(name: str, **changes: Any) -> ModelConfig:
    """The configuration of a named size, with some settings changed. Raises ConfigError."""
    if name not in SIZES:
        raise ConfigError(f"size = {name!r}: expected one of {', '.join(SIZES)}")
    return from_plain({**SIZES[name], **changes})
