"""The mean of the weights: unbiased by hand, exact to swap, exact to resume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qamdt.schemas.errors import ConfigError
from qamdt.train.loop.ema import Ema
from qamdt.train.loop.state_dicts import mean_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def walk(net: nn.Module, step: int) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(step)))


def test_three_steps_by_hand() -> None:
    net = nn.Linear(1, 1, bias=False)
    ema, decay = Ema(net, 0.5), 0.5
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(net.weight, value)
        ema.update(net)
    # (d^2 1 + d 2 + 6) / (d^2 + d + 1): the start value is nowhere in it
    wanted = (decay**2 * 1 + decay * 2 + 6) / (decay**2 + decay + 1)
    assert ema.mean["weight"].item() == pytest.approx(wanted, rel=1e-6)
    assert ema.weight == 1.75


def test_the_first_step_gives_the_weights_themselves() -> None:
    net = network()
    ema = Ema(net, 0.9999)
    walk(net, 1)
    ema.update(net)
    for name, p in net.named_parameters():
        assert torch.equal(ema.mean[name], p)


def test_swapped_weights_are_the_mean_and_come_back_bit_for_bit() -> None:
    net = network()
    ema = Ema(net, 0.9)
    for step in range(3):
        walk(net, step)
        ema.update(net)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ZeroDivisionError), ema.swapped(net):
        assert torch.equal(net[0].weight, ema.mean["0.weight"])
        raise ZeroDivisionError  # an error inside leaves no mean behind
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_buffers_are_copied_as_they_are() -> None:
    net = network()
    net.train()
    net(torch.randn(8, 3))
    saved = mean_of(net, Ema(net, 0.9))
    assert set(saved) == set(net.state_dict())
    assert torch.equal(saved["1.running_mean"], net.state_dict()["1.running_mean"])


def test_a_resumed_mean_equals_an_uninterrupted_one() -> None:
    net = network()
    full_tensor = Ema(net, 0.9)
    for step in range(5):
        walk(net, step)
        full_tensor.update(net)
        if step == 2:
            resumed = Ema(net, 0.9)
            resumed.load({k: v.clone() for k, v in full_tensor.mean.items()}, full_tensor.weight)
        elif step > 2:
            resumed.update(net)
    assert all(torch.equal(v, resumed.mean[k]) for k, v in full_tensor.mean.items())
    with pytest.raises(ConfigError, match="another network"):
        full_tensor.load({"strange": torch.zeros(1)}, 1.0)
