"""The costs on paper agree with what the network does."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from train_builders import inputs, network

from qamdt.train.network import linear, model, recompute
from qamdt.train.network.config import PARITY, sized
from qamdt.train.network.flops import flops, memory, parameters
from qamdt.train.network.masking import draw_mask
from qamdt.train.network.model import QAMDT


def attention_flops(q: list[int], k: list[int], *rest: object, **more: object) -> int:
    """PyTorch's counter does not know its own attention on a CPU. q [B, H, N, d], k [B, H, S, d]."""
    return 4 * q[0] * q[1] * q[2] * q[3] * k[2]


@pytest.mark.parametrize("form", [{}, PARITY, {"overlap_frames": 4}, {"input_skip": False}])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_flops_are_those_that_pytorch_counts(
    form: dict[str, object], gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward, masked and whole: to 0.1%."""
    monkeypatch.setattr(linear, "PRODUCT", None)  # the counter knows no oneDNN
    monkeypatch.setattr(model, "ROUND", 1)  # nor the paper the tokens that round a length up
    net = network(**form)
    x = inputs(net.config, batch=1, tokens=7)
    mask = draw_mask(1, net.config.patches, gamma, torch.Generator().manual_seed(0))
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    with FlopCounterMode(display=False, custom_mapping=attention) as counter, torch.no_grad():
        net(*x, mask)
    want = flops(net.config, 7, gamma).forward
    assert counter.get_total_flops() == pytest.approx(want, rel=1e-3)


def test_flops_of_the_papers_size() -> None:
    """1.32 TFLOP a forward at 64 text tokens with gelu, and parameters near 676 M."""
    config = sized("xl", **PARITY)
    assert flops(config).forward == pytest.approx(1.32e12, rel=0.01)
    assert parameters(config) == 676_245_920 + config.width  # the null level is ours


def test_parameters_of_the_sizes() -> None:
    assert parameters(sized("nano")) < 2_000_000
    assert parameters(network().config) == sum(p.numel() for p in network().parameters())


@pytest.mark.parametrize("form", [{}, PARITY])
@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_memory_kept_is_what_autograd_keeps(
    form: dict[str, object], gamma: float, lean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of the tensors that wait for the backward pass: to 10%."""
    monkeypatch.setattr(model, "ROUND", 1)
    net = QAMDT(network(**form, patch_frames=2, patch_bands=1, text_width=32).config, lean=lean)
    x = inputs(net.config, batch=2, tokens=6)
    mask = draw_mask(2, net.config.patches, gamma, torch.Generator().manual_seed(0))
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    class Noted(recompute._Recipe):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            for tensor in self.inputs or []:
                if tensor is not None:
                    note(tensor)

        def pack(self, tensor: Tensor) -> Any:
            place = super().pack(tensor)
            return note(place) if isinstance(place, Tensor) else place

    monkeypatch.setattr(recompute, "_Recipe", Noted)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        out = net(*x, mask)
    for tensor in (*net.parameters(), *net.buffers(), *x, *mask):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    assert out.requires_grad
    assert sum(kept.values()) == pytest.approx(memory(net.config, 2, 6, gamma, lean).kept, rel=0.1)
