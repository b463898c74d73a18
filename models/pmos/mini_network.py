"""The p-MOS network: log-mels and damage cues in, one opinion score out.

A small convolutional stem turns 160 ms of features into a token; two more carry statistics of
the whole window (bands, cues); a wav2vec 2.0 encoder lets them talk; mean, spread and an attention
over time are pooled. From there the network guesses the similarity in each of the teacher's 32
bands, and from both the score. One further head exists for training alone: which damage it is.

Shapes: B sounds, C = MELS + cues channels, N frames of 20 ms, L tokens of 160 ms, D width.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import nn
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2EncoderStableLayerNorm

from .mini_features import BASIC_CUES, MELS

MIDDLE_MOS = 3.5  # the score of an untrained network


@dataclass(frozen=True)
class NetConfig:
    """Sizes of the network; `kinds` are the names of the damage head's outputs.

    cues: how many of the front end's cues it hears, CUES or BASIC_CUES.
    """

    kinds: tuple[str, ...]
    cues: int = BASIC_CUES
    cue_width: int = 64
    width: int = 160
    layers: int = 4
    heads: int = 4
    inner: int = 640
    bands: int = 32
    dropout: float = 0.1
    cue_dropout: float = 0.0  # share of cues not heard at all in a training example

    def plain(self) -> dict[str, object]:
        return asdict(self) | {"kinds": list(self.kinds)}


class PmosOutput(NamedTuple):
    """mos float32 [B]; damage float32 [B, kinds], logits; similarity float32 [B, bands], 0..1."""

    mos: torch.Tensor
    damage: torch.Tensor
    similarity: torch.Tensor


class PmosNet(nn.Module):
    """`forward(features [B, C or more, N]) -> Heard`; any N of at least 50 frames (1 s).

    Channels beyond C are not heard: features with all cues serve a network of basic ones.
    """

    center: torch.Tensor  # [C, 1], the mean and
    scale: torch.Tensor  # the deviation of every channel in the training data

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("center", torch.zeros(MELS + config.cues, 1))
        self.register_buffer("scale", torch.ones(MELS + config.cues, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=4, padding=2), nn.GELU(), nn.GroupNorm(1, 24),
            nn.Conv2d(24, 48, 3, stride=2, padding=1), nn.GELU(),
        )  # fmt: skip
        self.mel_token = nn.Linear(48 * MELS // 8, width)
        self.some_cues = nn.Dropout1d(config.cue_dropout)
        self.cue_token = nn.Sequential(
            nn.Conv1d(config.cues, config.cue_width, 5, stride=4, padding=2),
            nn.GELU(),
            nn.Conv1d(config.cue_width, width, 3, stride=2, padding=1),
        )
        self.bands_token = _statistics_token(7 * MELS - 1, width, config.dropout)
        self.cues_token = _statistics_token(6 * config.cues, width, config.dropout)
        self.encoder = Wav2Vec2EncoderStableLayerNorm(_encoder_config(config))
        self.attention = nn.Linear(width, 1)
        self.pooled = nn.Sequential(
            nn.LayerNorm(5 * width), nn.Linear(5 * width, width), nn.GELU(), nn.Dropout(0.1)
        )
        self.mos = nn.Linear(width + config.bands, 1)
        self.damage = nn.Linear(width, len(config.kinds))
        self.similarity = nn.Linear(width, config.bands)
        nn.init.constant_(self.mos.bias, MIDDLE_MOS)

    def forward(self, features: torch.Tensor) -> PmosOutput:
        x = (features[:, : len(self.center)] - self.center) / self.scale  # [B, C, N]
        mels, cues = x[:, :MELS], self.some_cues(x[:, MELS:])
        tokens = self.mel_token(self.stem(mels[:, None]).flatten(1, 2).transpose(1, 2))  # [B, L, D]
        tokens = tokens + self.cue_token(cues).transpose(1, 2)
        prefix = [self.bands_token(_band_statistics(mels)), self.cues_token(_cue_statistics(cues))]
        encoded = self.encoder(torch.cat([torch.stack(prefix, 1), tokens], 1)).last_hidden_state
        prefix_states, time = encoded[:, :2].flatten(1), encoded[:, 2:]
        weight = self.attention(time).softmax(1)
        pooled = torch.cat([prefix_states, time.mean(1), time.std(1), (weight * time).sum(1)], 1)
        one = self.pooled(pooled)  # [B, D]
        similarity = self.similarity(one).sigmoid()
        mos = self.mos(torch.cat([one, 4 * similarity - 3], 1))[:, 0]
        return PmosOutput(mos, self.damage(one), similarity)


def _statistics_token(size: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(size), nn.Linear(size, 2 * width), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(2 * width, width),
    )  # fmt: skip


def _quantiles(ordered: torch.Tensor, *shares: float) -> list[torch.Tensor]:
    """The values at `shares` (0..1) of [B, C, N] sorted along N: each [B, C]."""
    last = ordered.shape[-1] - 1
    return [ordered[..., round(share * last)] for share in shares]


def _band_statistics(mels: torch.Tensor) -> torch.Tensor:
    """Of every band: mean, four quantiles, unrest; and the steps of the mean from band to band."""
    mean = mels.mean(-1)
    unrest = mels.diff(dim=-1).abs().mean(-1)
    ordered = mels[..., ::3].sort(-1).values  # every third frame: sorting is what costs here
    return torch.cat(
        [mean, *_quantiles(ordered, 0.03, 0.15, 0.5, 0.95), unrest, mean.diff(dim=1)], 1
    )


def _cue_statistics(cues: torch.Tensor) -> torch.Tensor:
    """Mean, spread, low, middle, high and highest of every cue: [B, 6 * CUES]."""
    ends = _quantiles(cues.sort(-1).values, 0.05, 0.5, 0.95, 1.0)
    return torch.cat([cues.mean(-1), cues.std(-1), *ends], 1)


def _encoder_config(config: NetConfig) -> Wav2Vec2Config:
    encoder = Wav2Vec2Config(
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.inner,
        hidden_dropout=config.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        layerdrop=0.0,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
    )
    encoder._attn_implementation = "sdpa"
    return encoder
