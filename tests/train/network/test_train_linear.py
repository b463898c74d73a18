"""oneDNN's product is the usual one, and what is made again is what was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from train_builders import inputs, network

from qamdt.train.network import linear as module
from qamdt.train.network.blocks import FeedForward
from qamdt.train.network.config import PARITY
from qamdt.train.network.linear import Linear, linear
from qamdt.train.network.masking import draw_mask
from qamdt.train.network.recompute import recomputed


@pytest.mark.skipif(module.PRODUCT is None, reason="this PyTorch has no oneDNN product")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 100, 8), (257, 8), (300, 1, 8)])
def test_linear_and_gradients(shape: tuple[int, ...], bias: bool) -> None:
    """Value and all gradients equal F.linear's to rounding, for weights that are slices too."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=g, requires_grad=True)
    whole = torch.randn(12, 8, generator=g, requires_grad=True)
    b = torch.randn(12, generator=g, requires_grad=True) if bias else None
    given = [t for t in (x, whole, b) if t is not None]
    results = []
    for function in (linear, F.linear):
        y = function(x, whole[4:], b[4:] if b is not None else None)
        results.append([y, *torch.autograd.grad(y.square().sum(), given)])
    assert "OneDnn" in type(linear(x, whole).grad_fn).__name__
    for ours, usual in zip(*results, strict=True):
        torch.testing.assert_close(ours, usual, atol=1e-3, rtol=1e-5)  # sums of 300 squares of 10


def test_other_types_go_the_usual_way() -> None:
    layer = Linear(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 4)).dtype == torch.bfloat16
    assert layer.double()(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64
    assert layer(torch.empty(0, 4, dtype=torch.float64)).shape == (0, 3)


def test_made_again_keeps_less_and_changes_nothing() -> None:
    """Same bits of values and gradients; the product keeps x in the place of its norm."""
    x = torch.randn(4, 6, requires_grad=True)
    layer = nn.Linear(6, 3)
    results = []
    for again in (True, False):
        layer.zero_grad()
        x.grad = None
        if again:
            with recomputed(lambda t: t.sin() * 2, x) as made:
                y = layer(made)
            assert y.grad_fn is not None
        else:
            y = layer(x.sin() * 2)
        y.square().sum().backward()
        results.append([y, x.grad, layer.weight.grad.clone()])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_made_again_once() -> None:
    """A second backward pass is refused: the inputs are gone by then."""
    x = torch.randn(3, requires_grad=True)
    with recomputed(torch.sin, x) as made:
        y = (made * made).sum()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward"):
        y.backward()


@pytest.mark.parametrize("form", [{}, PARITY])
def test_the_network_is_the_same_however_its_memory_is_saved(form: dict[str, object]) -> None:
    """Gradients with first products or whole blocks computed again, bit for bit."""
    net = network(**form)
    x = inputs(net.config)
    mask = draw_mask(2, net.config.patches, 0.4, torch.Generator().manual_seed(0))
    found = []
    for lean, recompute in ((False, False), (True, False), (False, True)):
        net.recompute = recompute
        for part in net.modules():
            if isinstance(part, FeedForward):
                part.lean = lean
        net.zero_grad()
        net(*x, mask).square().mean().backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(net.parameters()))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
