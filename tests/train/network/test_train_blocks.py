"""Laws of a block: identity without gates, text without padding, batch-mates apart."""

import pytest
import torch
from train_builders import SMALL

from qamdt.train.network.attention import attend, attend_masked
from qamdt.train.network.blocks import (
    Block,
    Conditioning,
    CrossAttention,
    Join,
    SelfAttention,
    rotated,
)
from qamdt.train.network.config import ModelConfig
from qamdt.train.network.positions import rotary_table

CONFIG = ModelConfig(**SMALL)
N = 1 + CONFIG.patches


def conditioning(batch: int = 2, tokens: int = 5) -> Conditioning:
    g = torch.Generator().manual_seed(0)
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    mask[-1, 3:] = False
    time = torch.randn(batch, 6, CONFIG.width, generator=g)
    return Conditioning(time, torch.randn(batch, tokens, CONFIG.width, generator=g), mask)


def test_without_gates_a_block_is_the_identity() -> None:
    """Gates (rows 2 and 5 of the table and of time) zero, cross-attention zero as at the start."""
    block, say = Block(CONFIG), conditioning()
    torch.nn.init.zeros_(block.cross.out.weight)
    torch.nn.init.zeros_(block.cross.out.bias)
    say.time[:, [2, 5]] = 0
    x = torch.randn(2, N, CONFIG.width)
    assert torch.equal(block(x, say, rotary_table(CONFIG)[:, None]), x)


def test_asking_for_some_is_asking_for_all_and_choosing() -> None:
    """The first n outputs, computed alone, equal those of the whole."""
    block, say, rotary = Block(CONFIG), conditioning(), rotary_table(CONFIG)[:, None]
    torch.nn.init.normal_(block.table)
    x = torch.randn(2, N, CONFIG.width)
    torch.testing.assert_close(block(x, say, rotary, None, 6), block(x, say, rotary)[:, :6])


def test_padded_text_is_packed_text() -> None:
    """Padding of any content changes nothing; each sample hears its own text, as if packed."""
    cross, say = CrossAttention(CONFIG), conditioning()
    x = torch.randn(2, N, CONFIG.width)
    got = cross(x, say.text, say.text_mask)
    spoiled = say.text.masked_fill(~say.text_mask[:, :, None], 1e4)
    torch.testing.assert_close(cross(x, spoiled, say.text_mask), got, atol=1e-5, rtol=1e-5)
    for i, length in enumerate(say.text_mask.sum(1)):
        alone = cross(x[i : i + 1], say.text[i : i + 1, :length], torch.ones(1, length) > 0)
        torch.testing.assert_close(alone[0], got[i], atol=1e-5, rtol=1e-5)


def test_attention_is_the_softmax_of_scaled_products() -> None:
    q, k, v = torch.randn(3, 2, 7, 4, 8)
    scores = torch.einsum("bnhd,bshd->bhns", q, k) / 8**0.5
    want = torch.einsum("bhns,bshd->bnhd", scores.softmax(-1), v).flatten(2)
    torch.testing.assert_close(attend(q, k, v), want)


@pytest.mark.parametrize("n_keys", [None, 270])
def test_attention_by_heads_is_pytorchs(n_keys: int | None) -> None:
    """Values and gradients of long sequences, of views too, and of keys that nobody hears."""
    g = torch.Generator().manual_seed(0)
    qkv = torch.randn(2, 290, 3, 2, 16, generator=g, requires_grad=True)
    grad = torch.randn(2, 260, 32, generator=g)
    found = []
    for function in (attend, lambda q, k, v, n: attend_masked(q, k[:, :n], v[:, :n], None)):
        q, k, v = qkv.unbind(2)
        out = function(q[:, :260], k, v, n_keys)
        found.append([out, *torch.autograd.grad(out, qkv, grad)])
    for ours, usual in zip(*found, strict=True):
        torch.testing.assert_close(ours, usual, atol=1e-5, rtol=1e-4)


def test_queries_are_normalised_before_they_turn() -> None:
    """Under QK-norm the loudness of queries and keys does not matter."""
    attention = SelfAttention(CONFIG)
    q, k, v = torch.randn(3, 1, N, CONFIG.heads, CONFIG.head_width)
    rotary = rotary_table(CONFIG)[:, None]
    scales = attention.q_scale, attention.k_scale
    quiet = attend(*rotated(q, k, *scales, rotary, rotary), v)
    loud = attend(*rotated(9 * q, 5 * k, *scales, rotary, rotary), v)
    torch.testing.assert_close(quiet, loud, atol=1e-4, rtol=1e-4)


def test_join_is_one_linear_layer_of_both() -> None:
    join, x, skip = Join(4), torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    weight = torch.cat([join.x.weight, join.skip.weight], 1)
    want = torch.nn.functional.linear(torch.cat([x, skip], -1), weight, join.x.bias)
    torch.testing.assert_close(join(x, skip), want)
