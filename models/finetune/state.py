"""A training on disk: weights, optimizer and place, in one safetensors file replaced atomically.

Order, crops and dropout are functions of seed and step, so the place is a step number and there is
no state of a random generator to keep. `best.safetensors` holds the weights of the best epoch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

STATE, BEST = "state.safetensors", "best.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's, a tensor each


@dataclass
class Place:
    """How far a training is.

    step: optimizer steps done. loss_sum: of this epoch's steps so far. history: one entry an
    epoch: epoch, step, loss, and dev's pearson, spearman, rmse.
    """

    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save_state(folder: Path, place: Place, network: Any, optimizer: torch.optim.Optimizer) -> None:
    """Write where the training stands."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    for name, weight in network.named_parameters():
        if moments := optimizer.state.get(weight):
            tensors |= {f"adam.{m}.{name}": moments[m] for m in MOMENTS}
    _save(folder / STATE, tensors, {"place": json.dumps(asdict(place))})


def load_state(folder: Path, network: Any, optimizer: torch.optim.Optimizer) -> Place:
    """Put weights and optimizer back; a new Place where nothing was saved."""
    path = folder / STATE
    if not path.exists():
        return Place()
    with safe_open(path, "pt") as file:
        place = Place(**json.loads(file.metadata()["place"]))
        saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    network.load_state_dict(_under("network.", saved))
    for name, weight in network.named_parameters():
        if f"adam.step.{name}" in saved:
            optimizer.state[weight] = {
                m: saved[f"adam.{m}.{name}"].to("cpu" if m == "step" else weight.device)
                for m in MOMENTS
            }
    return place


def save_best(folder: Path, network: Any) -> None:
    """Keep these weights as the best so far."""
    _save(folder / BEST, network.state_dict(), {})


def load_best(folder: Path, network: Any) -> None:
    """Put the best weights into the network."""
    with safe_open(folder / BEST, "pt") as file:
        network.load_state_dict({k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _save(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
