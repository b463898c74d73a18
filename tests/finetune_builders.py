"""Tiny encoders of each kind, and sounds whose label is their noise."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch

from qamdt.models.finetune.config import FinetuneConfig

RATE_HZ = 16_000
QUICK = FinetuneConfig(
    window_s=1.2, epochs=3, batch_size=8, freeze="none", learning_rate=3e-3, head_learning_rate=1e-2
)


def tiny_encoder(folder: Path, kind: str = "wav2vec2", **settings: Any) -> Path:
    """A random encoder without a head, a few thousand weights, as `save_pretrained` leaves it."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "conv_dim": (8, 16), "conv_stride": (40, 8), "conv_kernel": (80, 8),
        "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "classifier_proj_size": 8,
        "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
        "hidden_dropout": 0.05, "layerdrop": 0.0, **settings,
    })  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def noisy_sound(level: float, seconds: float, seed: int) -> np.ndarray:
    """Two tones and white noise, louder with `level` 0..1: float32 [T] at 16 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 800, 2))
    return (0.2 * tones + 0.3 * level * rng.standard_normal(t.size)).astype(np.float32)


def rated(folder: Path, count: int = 60, name: str = "labels.csv") -> Path:
    """`count` sounds of 1.2 to 2 s, five to an album, rated 5 (no noise) to 1: a table of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    rows = []
    for k in range(count):
        level = float(rng.uniform())
        sf.write(
            folder / f"{k:03}.wav", noisy_sound(level, rng.choice([1.2, 1.5, 2.0]), k), RATE_HZ
        )
        rows.append({"path": f"{k:03}.wav", "mos": round(5 - 4 * level, 3), "group": f"a{k // 5}"})
    return table_file(folder / name, rows)


def table_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as csv or tsv, by the suffix."""
    with open(path, "w", newline="") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        out = csv.DictWriter(file, names, delimiter="\t" if path.suffix == ".tsv" else ",")
        out.writeheader()
        out.writerows(rows)
    return path
