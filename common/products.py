"""Products of float32 matrices by oneDNN, on some processors twice as fast as the library PyTorch takes by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

LEAST = 1 << 20  # multiplications; for fewer it takes longer to begin than to multiply

_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


@contextmanager
def fast_products() -> Iterator[None]:
    """Linear maps of float32 on a CPU go to oneDNN herein where PyTorch has it, and so do their gradients.

    It is float32 all through, unlike what `torch.set_float32_matmul_precision("medium")` allows; only the order of the
    sums is another, and so their last digits. Whoever has set that, or autocast, gets what was set. Of gradients there
    are no gradients again.
    """
    if _linear is None or torch.compiler.is_compiling() or torch.get_float32_matmul_precision() != "highest":
        yield
        return
    with _ByOneDNN():
        yield


class _ByOneDNN(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.linear and not torch.compiler.is_compiling() and _fits(*args, **(kwargs or {})):
            return _map(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _fits(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    given = [each for each in (input, weight, bias) if each is not None]
    return (
        all(type(each) in (Tensor, nn.Parameter) and each.device.type == "cpu" for each in given)
        and all(each.dtype == torch.float32 for each in given)
        and input.numel() * weight.shape[0] >= LEAST
        and not torch.is_autocast_enabled("cpu")
    )


def _map(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (input, weight, bias)):
        return _Linear.apply(input, weight, bias)
    return _product(input, weight, bias)


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b^T, and the bias."""
    assert _linear is not None
    return _linear(a, b, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: Float[Tensor, "*B I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None
    ) -> Float[Tensor, "*B O"]:
        """x W^T + b."""
        ctx.save_for_backward(input, weight)
        return _product(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "*B O"]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """g W, g^T x and the sum of g."""
        input, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        wanted = ctx.needs_input_grad
        return (
            _product(grad, weight.t()) if wanted[0] else None,
            _product(rows.t(), input.reshape(-1, input.shape[-1]).t()) if wanted[1] else None,
            rows.sum(0) if wanted[2] else None,
        )
