"""From weights on disk to latents on disk: what `qamdt-train sample` and `import-released` do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...pipeline.dataset import Dataset
from ...schemas.errors import ConfigError
from ...schemas.settings import to_plain
from ..config import Config
from ..data.text_states import StoredText
from ..diffusion.config import SampleConfig
from ..diffusion.objective import Objective
from ..loop.checkpoint import read_about, read_tensors, weights_file, write_tensors
from ..loop.demos import fitting, generate, write_latents
from ..loop.run_folder import config_of
from ..loop.state_dicts import put_weights
from ..network.config import ModelConfig
from ..network.model import QAMDT
from ..network.quality import check_quality


@dataclass(frozen=True)
class Request:
    """What to generate: every prompt at every level, `count` times, seeds from `seed` on.

    A latent depends on its prompt, level and seed, and not on the batch it is made in.
    """

    prompts: tuple[str, ...]
    levels: tuple[float, ...]
    negative: str = ""
    low_quality: float = 1.0
    seed: int = 0
    count: int = 1
    batch_size: int = 8

    def each(self) -> list[tuple[str, float, int]]:
        """(prompt, level, seed) of every latent, in order."""
        return [
            (prompt, check_quality(level), self.seed + k)
            for prompt in self.prompts
            for level in self.levels
            for k in range(self.count)
        ]


def load_network(where: Path, device: torch.device) -> tuple[QAMDT, Config, dict[str, Any]]:
    """The network of a run folder, checkpoint folder or weights file, ready to sample from.

    Returns also its configuration and its header. Raises WeightsMissing or StoreError.
    """
    path = weights_file(where)
    about = read_about(path)
    config = config_of(about["config"])
    network = QAMDT(config.model)
    put_weights(network, read_tensors(path))
    return network.to(device).eval().requires_grad_(False), config, about


def generate_to(
    out: Path, where: Path, dataset: Dataset, request: Request, config: SampleConfig, device: str
) -> int:
    """Write latents (see demos.py for the file) and return how many.

    A solver that does not fit what the network predicts is replaced (flow has euler); the file's
    header says which one it was. Prompts must have stored text states, made by the encoder that the
    network was trained with.
    Raises ConfigError, StoreError.
    """
    on = device_of(device)
    network, trained, about = load_network(where, on)
    texts = StoredText.open(dataset, trained.data.max_tokens, trained.data.reading)
    encoder = (about["text"] or {}).get("encoder")  # weights from elsewhere do not tell
    if encoder not in (None, texts.encoder) or texts.width != trained.model.text_width:
        raise ConfigError(
            f"{where} was trained with text states of {encoder} ({trained.model.text_width} wide); "
            f"{dataset.root} holds those of {texts.encoder} ({texts.width} wide)"
        )
    objective, each = Objective(trained.objective), request.each()
    config = fitting(config, objective)
    parts = []
    for block in _blocks(each, request.batch_size):
        prompts, levels, seeds = zip(*block, strict=True)
        parts.append(
            generate(
                network, objective, texts, prompts, levels, seeds, config, on, request.negative,
                request.low_quality,
            )
        )  # fmt: skip
    prompts, levels, seeds = zip(*each, strict=True)
    latents = about["latents"] or {}
    scale = float(latents.get("scale", 1.0))
    write_latents(
        out, torch.cat(parts), prompts, levels, seeds, scale, trained_on=latents,
        sample=dataclasses.asdict(config), weights=str(where), step=about["step"],
    )  # fmt: skip
    return len(each)


def write_released(checkpoint: Path, out: Path, heads: int, ema: bool) -> ModelConfig:
    """Released weights as a weights file of ours. The released training is told in its header."""
    from ..released.weights import import_released

    model, state = import_released(checkpoint, heads=heads, ema=ema)
    config = dataclasses.replace(Config(), model=model).override(
        "objective", {"min_snr_gamma": 5.0}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, state, 0, {"config": to_plain(config)})
    return model


def device_of(name: str) -> torch.device:
    """auto, cpu or cuda as a device. Raises ConfigError where there is no GPU."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device = {name!r}: expected one of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda': torch finds no GPU; use auto or cpu")
    able = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if able else "cpu")


def _blocks(
    each: list[tuple[str, float, int]], size: int
) -> Iterator[list[tuple[str, float, int]]]:
    for at in range(0, len(each), size):
        yield each[at : at + size]
