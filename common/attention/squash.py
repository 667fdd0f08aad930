"""tanh where it is the dearest step: as a sigmoid, of which a CPU makes nearly ten in the time of one tanh."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_CACHED = 1 << 16  # numbers worked on at a time: 256 KB


def fast_tanh(values: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """tanh(x) = 2 sigmoid(2 x) - 1, of float32 on a CPU within 1e-7; elsewhere PyTorch's own."""
    if values.device.type != "cpu" or values.dtype != torch.float32 or torch.compiler.is_compiling():
        return torch.tanh(values)
    return _Tanh.apply(values)


def tanh_of_half_(doubled: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """tanh(x) = 2 sigmoid(2 x) - 1 in place of 2 x."""
    gates = doubled.sigmoid_()
    return torch.add(gates.new_tensor(-1), gates, alpha=2, out=gates)


class FastTanh(nn.Module):
    """The same as a layer."""

    def forward(self, values: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """tanh(x)."""
        return fast_tanh(values)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """In pieces that stay in the cache."""
        result = torch.empty_like(values, memory_format=torch.contiguous_format)
        for some, out in zip(values.reshape(-1).split(_CACHED), result.view(-1).split(_CACHED), strict=True):
            tanh_of_half_(torch.mul(some, 2, out=out))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """g (1 - tanh(x)^2)."""
        (result,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grad, result)
