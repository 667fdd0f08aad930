"""Gradients of what all steps of a loop share, worked out once after the loop and not at each of its steps.

A decoder's step multiplies with the same matrices and looks at the same keys as the step before. Autograd makes a
gradient of the whole matrix, or of all keys, at each step, and adds them up: the memory is busy with that for longer
than the processor with the products. Within `one_loop` each step only notes what its share of the gradient is made of,
and the end makes the sum: of a matrix W of y_t = W x_t it is one product, sum_t g_t x_t^T = G^T X.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from common.contexts import holding

Note = tuple[Tensor, ...]  # what one step's share of a gradient is made of


class Notes:
    """What the steps of one loop have noted of a tensor that they share, and how its gradient comes of that."""

    def __init__(self, gradient: Callable[[list[Note]], Tensor]) -> None:
        self.gradient = gradient
        self.notes: list[Note] = []

    def add(self, *note: Tensor) -> None:
        """One step's part."""
        self.notes.append(note)

    def total(self) -> Tensor | None:
        """The gradient, of which there is none where no step was gone back through; the notes are gone then."""
        notes, self.notes = self.notes, []
        return self.gradient(notes) if notes else None


_loop: ContextVar[dict[int, tuple[Tensor, Tensor, Notes]] | None] = ContextVar("_loop", default=None)
_many: ContextVar[bool] = ContextVar("_many", default=False)


def many_looks() -> AbstractContextManager[None]:
    """Keys that are prepared herein will be looked at again and again without gradient, as a search does."""
    return holding(_many, True)


def many_looks_follow() -> bool:
    """Whether it pays to work more out of the keys in advance."""
    return _many.get() and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def one_loop() -> AbstractContextManager[None]:
    """What is done herein is the steps of one loop. The numbers are the same without; it is for speed alone."""
    return nullcontext() if torch.compiler.is_compiling() else holding(_loop, {})


def shared(tensor: Tensor, gradient: Callable[[list[Note]], Tensor]) -> tuple[Tensor, Notes] | None:
    """A tensor as the steps of this loop are to use it, and where they note what its gradient is made of.

    None outside of a loop, where no gradient is wanted, and under `torch.compile`, which does this in its own way.
    """
    if torch.compiler.is_compiling():
        return None
    loop = _loop.get()
    if loop is None or not (torch.is_grad_enabled() and tensor.requires_grad):
        return None
    if id(tensor) not in loop:
        notes = Notes(gradient)
        loop[id(tensor)] = tensor, _Shared.apply(tensor, notes), notes  # held, so that no other has its id
    return loop[id(tensor)][1:]


class _Shared(torch.autograd.Function):
    """The tensor itself. Its backward comes after those of all steps that use it, when all notes are there."""

    @staticmethod
    def forward(ctx: Any, tensor: Float[Tensor, "*S"], notes: Notes) -> Float[Tensor, "*S"]:
        """The same numbers."""
        ctx.set_materialize_grads(False)
        ctx.notes = notes
        return tensor.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None]:
        """What the steps noted, and what came by other ways."""
        total = ctx.notes.total()
        return (total if grad is None else grad if total is None else grad + total), None


class _Product(torch.autograd.Function):
    """x W^T, whose W is shared by the steps of a loop."""

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "*B I"], weight: Float[Tensor, "O I"], notes: Notes
    ) -> Float[Tensor, "*B O"]:
        """x W^T."""
        ctx.save_for_backward(x, weight)
        ctx.notes = notes
        return nn.functional.linear(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        """The input's gradient; the weight's is noted."""
        x, weight = ctx.saved_tensors
        ctx.notes.add(grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1]))
        return grad @ weight if ctx.needs_input_grad[0] else None, None, None


def _product_gradient(notes: list[Note]) -> Float[Tensor, "O I"]:
    """sum_t g_t^T x_t over the rows of all steps."""
    grads, inputs = (torch.cat(each) for each in zip(*notes, strict=True))
    return grads.T @ inputs


class StepLinear(nn.Linear):
    """A linear map of a recurrence: nn.Linear, but that its weight gets its gradient after the loop (`one_loop`)."""

    def forward(self, input: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """W x + b."""
        found = shared(self.weight, _product_gradient)
        if found is None:
            return super().forward(input)
        weight, notes = found
        if torch.is_autocast_enabled(input.device.type):
            dtype = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(dtype), weight.to(dtype)
        product = _Product.apply(input, weight, notes)
        return product if self.bias is None else product + self.bias
