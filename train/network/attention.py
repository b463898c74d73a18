"""Scaled dot product attention: PyTorch's own, and on a CPU in float32 head by head through oneDNN.

PyTorch's attention on a CPU takes its products from MKL, in small tiles. For self-attention of some
length the same sums, a head at a time, are twice as fast through oneDNN (see `linear`). Only one head's
scores exist at any time, and the backward pass makes them again: memory as with PyTorch's.

Shapes: B samples, N queries, S keys, H heads, d width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .linear import FEWEST_ROWS, fast, product


class _ByHeads(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v of q [B, N, H, d], k and v [B, S, H, d], for the first `n_keys` keys."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, n_keys: int) -> Tensor:
        out, scale = torch.empty(q.shape), q.shape[-1] ** -0.5
        qs, ks, vs = (t.transpose(1, 2).contiguous() for t in (q, k, v))  # [B, H, N, d]
        for b, h in _each(q):
            share = _softmax(qs[b, h] * scale, ks[b, h], n_keys)
            out[b, :, h] = product(share, vs[b, h].t())
        ctx.save_for_backward(q, k, v, out)
        ctx.n_keys = n_keys
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        dq, dk, dv = (torch.empty(t.shape) for t in (q, k, v))
        mean = (grad * out).sum(-1, keepdim=True)  # sum over keys of share * d share
        qs, ks, vs, grads = (t.transpose(1, 2).contiguous() for t in (q, k, v, grad))
        for b, h in _each(q):
            scaled = qs[b, h] * scale
            share = _softmax(scaled, ks[b, h], ctx.n_keys)
            dv[b, :, h] = product(grads[b, h].t(), share.t()).t()
            d_scores = product(grads[b, h], vs[b, h]).sub_(mean[b, :, h]).mul_(share)
            dq[b, :, h] = product(d_scores, ks[b, h].t()).mul_(scale)
            dk[b, :, h] = product(scaled.t(), d_scores.t()).t()
        return dq, dk, dv, None


def _each(q: Tensor) -> list[tuple[int, int]]:
    return [(b, h) for b in range(q.shape[0]) for h in range(q.shape[2])]


def _softmax(q: Tensor, k: Tensor, n_keys: int) -> Tensor:
    """Of the scores of one head, [N, S]; nothing for keys that are not heard."""
    scores = product(q, k)
    if n_keys < len(k):
        scores[:, n_keys:] = -torch.inf
    return scores.softmax(-1)


def attend(q: Tensor, k: Tensor, v: Tensor, n_keys: int | None = None) -> Tensor:
    """Attention of q [B, N, H, d] to the first `n_keys` (None: all) of k, v [B, S, H, d]: [B, N, D]."""
    enough = min(q.shape[1], k.shape[1]) >= FEWEST_ROWS
    if enough and fast(q, k) and fast(v, v):
        return _ByHeads.apply(q, k, v, k.shape[1] if n_keys is None else n_keys).flatten(2)
    return attend_masked(q, k[:, :n_keys], v[:, :n_keys], None)


def attend_masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The same to all keys, or to those where mask, bool [B, S], is True; by PyTorch's own."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    where = None if mask is None else mask[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=where).transpose(1, 2).flatten(2)
