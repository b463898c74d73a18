"""The transformer block of QA-MDT and its parts.

    x = join([x; skip])                             out and decoder blocks alone
    x = x + gate1 * SelfAttention(norm(x) * (1 + scale1) + shift1)
    x = x + CrossAttention(x, text)                 no norm, no gate, zero at the start
    x = x + gate2 * FeedForward(norm(x) * (1 + scale2) + shift2)

shift, scale and gate are adaLN-single (PixArt-alpha, arXiv 2310.00426): one [6, D] of the time step for
all blocks, plus a [6, D] table of each block.

Shapes: B samples, N tokens (the quality token first), S text tokens, D width, H heads, d = D / H.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import attend, attend_masked
from .config import ModelConfig
from .linear import Linear, linear
from .positions import rotate
from .recompute import recomputed

NORM_EPS = 1e-6


class Conditioning(NamedTuple):
    """What every block is told: time [B, 6, D], text [B, S, D], text_mask bool [B, S]."""

    time: Tensor
    text: Tensor
    text_mask: Tensor


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without weights, then * (1 + scale) + shift; shift and scale [B, 1, D]."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=NORM_EPS), 1 + scale)


def gated(x: Tensor, gate: Tensor, branch: Tensor) -> Tensor:
    """x + gate * branch; gate [B, 1, D]."""
    return torch.addcmul(x, gate, branch)


def rotated(
    q: Tensor, k: Tensor, q_scale: Tensor | None, k_scale: Tensor | None,
    q_rotary: Tensor | None, k_rotary: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Queries and keys [B, N, H, d], normalised and rotated where asked for."""
    return rotate(q, q_scale, q_rotary, NORM_EPS), rotate(k, k_scale, k_rotary, NORM_EPS)


class SelfAttention(nn.Module):
    """Attention among tokens, rotary and with normalised queries and keys where configured."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        scale = torch.ones(config.head_width) if config.qk_norm else None
        self.q_scale = nn.Parameter(scale) if scale is not None else None
        self.k_scale = nn.Parameter(scale.clone()) if scale is not None else None

    def forward(
        self, x: Tensor, shift: Tensor, scale: Tensor, rotary: Tensor | None,
        n_queries: int | None = None, n_keys: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Of the modulated norm of x [B, N, D]: the first `n_queries` attend to the first `n_keys`."""
        with recomputed(modulated, x, shift, scale) as normed:
            q, k, v = self.project(normed, n_queries)
        if self.q_scale is None and rotary is None:
            return self.out(attend(q, k, v, n_keys))
        asks = None if rotary is None else rotary[:, :, :n_queries]
        with recomputed(rotated, q, k, self.q_scale, self.k_scale, asks, rotary) as (q, k):
            answer = attend(q, k, v, n_keys)
        return self.out(answer)

    def project(self, x: Tensor, n_queries: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, n, H, d], keys and values [B, N, H, d]."""
        b, width = x.shape[0], x.shape[2]
        if n_queries is None:
            q, k, v = self.qkv(x).view(b, -1, 3, self.heads, width // self.heads).unbind(2)
            return q, k, v
        weight, bias = self.qkv.weight, self.qkv.bias
        q = linear(x[:, :n_queries], weight[:width], bias[:width])
        kv = linear(x, weight[width:], bias[width:])
        k, v = kv.view(b, -1, 2, self.heads, width // self.heads).unbind(2)
        return q.view(b, -1, self.heads, width // self.heads), k, v


class CrossAttention(nn.Module):
    """Every token asks the text; padding is never heard."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = Linear(config.width, config.width)
        self.kv = Linear(config.width, 2 * config.width)
        self.out = Linear(config.width, config.width)

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """x [B, N, D], text [B, S, D], text_mask bool [B, S], True = a real token."""
        b, _, width = x.shape
        q = self.q(x).view(b, -1, self.heads, width // self.heads)
        k, v = self.kv(text).view(b, -1, 2, self.heads, width // self.heads).unbind(2)
        return self.out(attend_masked(q, k, v, text_mask))


class FeedForward(nn.Module):
    """gelu: W2 gelu(W1 x), tanh form; swiglu (arXiv 2002.05202): W2 (silu(Wg x) * Wu x).

    `lean` computes the first product again in the backward pass instead of keeping it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        gated = config.ffn == "swiglu"
        self.activation, self.lean = swiglu if gated else gelu, False
        self.inside = Linear(config.width, config.inner * (2 if gated else 1))
        self.out = Linear(config.inner, config.width)

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Of the modulated norm of x [B, N, D]."""
        if self.lean:
            own = self.inside.weight, self.inside.bias
            with recomputed(self.active, x, shift, scale, *own) as active:
                return self.out(active)
        with recomputed(modulated, x, shift, scale) as normed:
            inside = self.inside(normed)
        with recomputed(self.activation, inside) as active:
            return self.out(active)

    def active(
        self, x: Tensor, shift: Tensor, scale: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """What the last product is given, [B, N, inner]."""
        return self.activation(linear(modulated(x, shift, scale), weight, bias))


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def swiglu(x: Tensor) -> Tensor:
    """[.., 2 n] -> [.., n]: silu of the first half times the second."""
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


class Join(nn.Module):
    """Linear(2D -> D) of [x; skip], as two products, so that the pair is never laid side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x = Linear(width, width)
        self.skip = Linear(width, width, bias=False)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.x(x) + self.skip(skip)


class Block(nn.Module):
    """One block; `skip` says whether it receives a skip."""

    def __init__(self, config: ModelConfig, skip: bool = False) -> None:
        super().__init__()
        self.join = Join(config.width) if skip else None
        self.attention = SelfAttention(config)
        self.cross = CrossAttention(config)
        self.feed_forward = FeedForward(config)
        self.table = nn.Parameter(torch.zeros(6, config.width))

    def forward(
        self, x: Tensor, conditioning: Conditioning, rotary: Tensor | None, skip: Tensor | None = None,
        n_queries: int | None = None, n_keys: int | None = None,
    ) -> Tensor:  # fmt: skip
        """x [B, N, D] -> [B, N, D]; or the first `n_queries` tokens, of the first `n_keys`."""
        if self.join is not None and skip is not None:
            x = self.join(x, skip)
        parts = (self.table + conditioning.time).chunk(6, 1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts  # [B, 1, D] each
        answer = self.attention(x, shift1, scale1, rotary, n_queries, n_keys)
        with recomputed(gated, x if n_queries is None else x[:, :n_queries], gate1, answer) as x:
            read = self.cross(x, conditioning.text, conditioning.text_mask)
        x = x + read
        return gated(x, gate2, self.feed_forward(x, shift2, scale2))
