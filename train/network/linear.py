"""Linear layers: oneDNN's float32 product on a CPU, the usual one everywhere else.

PyTorch sends float32 products on x86 to MKL, which keeps to AVX2 on processors that are not Intel's;
oneDNN asks the processor what it can do. On an AMD EPYC with AVX-512 that is 240 instead of 108
GFLOP/s a core, forward and backward. `_linear_pointwise` is the operator that torch.compile itself
emits for a linear layer on a CPU; where it is missing, everything below is `F.linear`.

oneDNN compiles a product for every new number of rows and keeps about half a megabyte of each. So few
rows (text, time) stay with MKL, and the network rounds its lengths up (`model.ROUND`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _product() -> Any:
    """oneDNN's x W^T + b for any strides, or None where this build of PyTorch has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


PRODUCT = _product()
FEWEST_ROWS = 256


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b by oneDNN, without a gradient. Rows or columns of `weight` lie side by side in memory:
    for others (a head of many, say) oneDNN falls back to a thousand times slower code.
    """
    return PRODUCT(x, weight, bias, "none", [], "")


def fast(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's product is to be used: float32 on a CPU, no autocast, not under torch.compile."""
    return (
        PRODUCT is not None
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


class _OneDnnLinear(torch.autograd.Function):
    """y = x W^T + b for x [..., in], W [out, in]; the same three products as `F.linear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = product(rows, weight.t()).view(x.shape)
        if ctx.needs_input_grad[1]:
            dw = product(rows.t(), x.reshape(-1, x.shape[-1]).t())
        if ctx.has_bias and ctx.needs_input_grad[2]:
            db = rows.sum(0)
        return dx, dw, db


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, x [..., in] -> [..., out]."""
    if x.numel() < FEWEST_ROWS * x.shape[-1] or not fast(x, weight):
        return F.linear(x, weight, bias)
    return _OneDnnLinear.apply(x, weight, bias)


class Linear(nn.Linear):
    """`nn.Linear` by `linear`: the same parameters, the same result up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)
