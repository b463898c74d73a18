"""The network to tune: an encoder with a new linear head, what of it is trained, and how fast.

The head of transformers is a projection of every frame, their mean over time, and a linear layer:
nothing between them bends, so it is the mean of the last hidden state and one linear map, as in
QAMA.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from ..pmos.wav2vec2 import kind_of, load_network, weights_of
from .config import FinetuneConfig

HEAD = ("projector.", "classifier.", "layer_weights")
NEW_HEAD = ("projector.*", "classifier.*", "layer_weights")  # what an encoder alone lacks


def open_network(init: Path, config: FinetuneConfig, mean_mos: float) -> Any:
    """The network of a checkpoint folder, ready to train.

    A head that the checkpoint lacks is new: seeded, its bias at `mean_mos`. A regression head that
    is there is kept. Raises WeightsMissing or ModelError.
    """
    weights_of(init)
    kind_of(init)
    torch.manual_seed(config.seed)
    network, new = load_network(
        init, num_labels=1, allow_missing=NEW_HEAD,
        apply_spec_augment=False,  # a masked stretch is damage that no listener heard
        problem_type="regression",
    )  # fmt: skip
    if any(name.startswith("classifier.") for name in new):
        with torch.no_grad():
            network.classifier.bias.fill_(mean_mos)
    if config.freeze != "none":
        network.freeze_feature_encoder()
    if config.freeze == "encoder":
        network.freeze_base_model()
    return network


def to_train(network: Any, config: FinetuneConfig) -> None:
    """Training mode: dropout on, but in an encoder that is not trained."""
    network.train()
    if config.freeze == "encoder":
        network.base_model.eval()


def optimizer_of(network: Any, config: FinetuneConfig) -> torch.optim.AdamW:
    """AdamW with four groups: encoder and head, each with decay (matrices) and without."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            groups.setdefault((name.startswith(HEAD), weight.ndim > 1), []).append(weight)
    return torch.optim.AdamW([
        {
            "params": weights,
            "peak": config.head_learning_rate if head else config.learning_rate,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (head, decays), weights in sorted(groups.items())
    ])  # fmt: skip


def set_rates(optimizer: torch.optim.AdamW, step: int, steps: int, warmup: float) -> None:
    """Learning rates of step `step` of `steps`: a line up to the peaks, half a cosine to nothing."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        share = (step + 1) / rising
    else:
        share = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
