"""Cheap parts computed again in the backward pass instead of kept: norms, activations, rotations.

A product keeps its input for the gradient of its weight. Where that input is a norm or an activation
of something that is kept anyway, keeping it is waste: half of what a block keeps. Here it is
recomputed when the gradient needs it; no product and no attention is computed twice, but under `lean`.

    with recomputed(modulated, x, shift, scale) as m:   # m = modulated(x, shift, scale)
        y = linear(m)                                   # keeps x, shift and scale, not m

What is recomputed has the same bits. torch.compile decides such things itself: under it nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

Outputs = Tensor | tuple[Tensor, ...]


class _Saved(NamedTuple):
    """What is saved in place of a tensor: which output it was, and its view of it."""

    output: int
    size: torch.Size
    stride: tuple[int, ...]
    offset: int | torch.SymInt


class _Recipe:
    """How to compute the outputs again, and the graph of that, until its gradient is taken."""

    def __init__(self, function: Callable[..., Outputs], inputs: tuple[Tensor | None, ...]) -> None:
        self.function = function
        self.inputs: list[Tensor | None] | None = [
            None if t is None else t.detach().requires_grad_(t.requires_grad) for t in inputs
        ]
        device = next(t.device.type for t in inputs if t is not None)
        self.autocast = torch.autocast(
            device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        )
        self.outputs: tuple[Tensor, ...] | None = None
        self.places: dict[int, int] = {}  # address of the first computation -> number of the output

    def again(self) -> tuple[Tensor, ...]:
        if self.inputs is None:
            raise RuntimeError("a second backward pass through the same graph: run forward again")
        if self.outputs is None:
            with torch.enable_grad(), self.autocast:
                self.outputs = _as_tuple(self.function(*self.inputs))
        return self.outputs

    def pack(self, tensor: Tensor) -> Tensor | _Saved:
        number = self.places.get(tensor.untyped_storage().data_ptr())
        if number is None:
            return tensor
        return _Saved(number, tensor.size(), tensor.stride(), tensor.storage_offset())

    def unpack(self, saved: Tensor | _Saved) -> Tensor:
        if isinstance(saved, Tensor):
            return saved
        output = self.again()[saved.output].detach()
        return output.as_strided(saved.size, saved.stride, saved.offset)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recipe: _Recipe, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        ctx.recipe = recipe
        return _as_tuple(recipe.function(*inputs))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        recipe: _Recipe = ctx.recipe
        outputs, inputs = recipe.again(), recipe.inputs or []
        needed = [t for t in inputs if t is not None and t.requires_grad]
        input_grads = iter(torch.autograd.grad(outputs, needed, grads))
        recipe.inputs = recipe.outputs = None
        return None, *(
            next(input_grads) if t is not None and t.requires_grad else None for t in inputs
        )


@contextmanager
def recomputed(function: Callable[..., Outputs], *inputs: Tensor | None) -> Iterator[Any]:
    """`function(*inputs)`; what is computed from it inside the context keeps the inputs instead.

    `function` is pure, all tensors that it uses are inputs, and its outputs are new tensors.
    """
    differentiable = any(t is not None and t.requires_grad for t in inputs)
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not differentiable:
        yield function(*inputs)
        return
    recipe = _Recipe(function, inputs)
    outputs = _Recomputed.apply(recipe, *inputs)
    recipe.places = {t.untyped_storage().data_ptr(): i for i, t in enumerate(outputs)}
    with torch.autograd.graph.saved_tensors_hooks(recipe.pack, recipe.unpack):
        yield outputs if len(outputs) > 1 else outputs[0]


def _as_tuple(outputs: Outputs) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
