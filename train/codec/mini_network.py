"""codec-mini's network and its file: a small AutoencoderKL of diffusers, float16 weights.

The safetensors header holds the configuration and what made the weights; the codec's name in every
row is that of the file's bytes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ...models.fetch.pretrained import load_safetensors
from ...schemas.errors import ConfigError, ModelError, WeightsMissing
from ...schemas.hashing import hash_weights

WEIGHTS = Path(__file__).parents[2] / "models" / "weights" / "codec-mini.safetensors"


@dataclass(frozen=True)
class MiniConfig:
    """Sizes of codec-mini, and how it is given a log-mel."""

    widths: tuple[int, ...] = (16, 32, 64)  # channels at 1, 1/2 and 1/4 of the mel's resolution
    blocks: int = 1  # residual blocks at each resolution
    channels: int = 8  # of the latent
    groups: int = 8  # of the group norms
    centre: float = -4.5  # about the mean and deviation of the log-mels of music
    spread: float = 2.5

    def __post_init__(self) -> None:
        if len(self.widths) != 3:
            raise ConfigError(f"widths = {self.widths}: expected three, for a quarter of the mel")
        if any(w % self.groups for w in self.widths):
            raise ConfigError(f"widths = {self.widths}: expected multiples of {self.groups} groups")


@dataclass(frozen=True)
class Header:
    """What a file of weights says of itself. digest: 16 hex digits of its bytes."""

    config: MiniConfig
    about: dict[str, str]
    digest: str


def build(config: MiniConfig) -> Any:
    """The untrained AutoencoderKL.

    No attention in the middle: over 4,096 places it would cost more than all the rest.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=config.channels, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=config.widths, layers_per_block=config.blocks,
        norm_num_groups=config.groups, mid_block_add_attention=False, scaling_factor=1.0,
    )  # fmt: skip


def write_weights(
    network: nn.Module, config: MiniConfig, path: Path, about: dict[str, str]
) -> None:
    """The weights as float16, and in the header the configuration and what made them."""
    from safetensors.torch import save_file

    state = {k: v.detach().half().contiguous() for k, v in network.state_dict().items()}
    save_file(state, path, {"config": json.dumps(dataclasses.asdict(config)), **about})


def header(path: Path) -> Header:
    """Configuration, origin and digest of a file of weights. Raises WeightsMissing, ModelError."""
    if not path.exists():
        raise WeightsMissing(f"{path} is missing: reinstall qamdt or run `make train-codec`")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
        plain = json.loads(about.pop("config"))
        config = MiniConfig(**plain | {"widths": tuple(plain["widths"])})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is no codec-mini: {error!r}") from error
    return Header(config, about, hash_weights([path])[:16])


def read_network(path: Path) -> Any:
    """The trained AutoencoderKL, float32, in evaluation mode. Raises WeightsMissing, ModelError."""
    network = build(header(path).config)
    load_safetensors(network, path, role="codec-mini")
    for weight in network.parameters():
        weight.requires_grad_(False)
    return network.eval()
