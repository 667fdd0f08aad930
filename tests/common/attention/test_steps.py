"""What the steps of a loop share gets the same gradient with `one_loop` as without."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from common.attention.steps import StepLinear, one_loop


def run(layer: nn.Linear, start: Tensor, steps: int = 4, loop: bool = True) -> Tensor:
    """x_t = tanh(W x_{t-1} + b)."""
    x, seen = start, []
    with one_loop() if loop else nullcontext():
        for _ in range(steps):
            x = torch.tanh(layer(x))
            seen.append(x)
    return torch.stack(seen)


@pytest.mark.parametrize("bias", [True, False])
def test_a_recurrence_has_the_gradients_of_finite_differences(bias: bool) -> None:
    layer = StepLinear(3, 3, bias=bias).double()

    def forward(start: Tensor, weight: Tensor) -> Tensor:
        values = {"weight": weight} | ({"bias": layer.bias.detach()} if bias else {})
        return torch.func.functional_call(_Run(layer), {f"layer.{name}": each for name, each in values.items()}, start)

    start = torch.randn(2, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(forward, (start, layer.weight.detach().clone().requires_grad_()))


class _Run(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, start: Tensor) -> Tensor:
        return run(self.layer, start)


def test_the_gradients_are_those_without_the_loop_and_add_up_over_loops() -> None:
    layer, start = StepLinear(3, 3), torch.randn(5, 3)
    run(layer, start, loop=False).sum().backward()
    expected = layer.weight.grad
    assert expected is not None
    layer.weight.grad = None
    for times in (1, 2):
        run(layer, start).sum().backward()
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.weight.grad, times * expected)


def test_one_graph_can_be_gone_back_through_twice() -> None:
    layer = StepLinear(3, 3)
    total = run(layer, torch.randn(2, 3)).sum()
    first, second = (torch.autograd.grad(total, layer.weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_steps_without_influence_add_nothing_and_use_outside_of_the_loop_counts_too() -> None:
    layer, start = StepLinear(3, 3), torch.randn(2, 3)
    seen = run(layer, start)
    (seen[0].sum() + layer(start).sum()).backward()
    found = layer.weight.grad
    layer.weight.grad = None
    (torch.tanh(layer(start)).sum() + layer(start).sum()).backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_a_frozen_weight_lets_the_gradient_through() -> None:
    layer, start = StepLinear(3, 3), torch.randn(2, 3).requires_grad_()
    layer.weight.requires_grad_(False)
    run(layer, start).sum().backward()
    assert layer.weight.grad is None
    assert start.grad is not None


def test_under_autocast_the_product_is_in_low_precision_and_the_gradient_is_the_weights() -> None:
    layer = StepLinear(3, 3, bias=False)
    with torch.autocast("cpu", torch.bfloat16), one_loop():
        found = layer(torch.randn(2, 3))
    found.float().sum().backward()
    assert found.dtype == torch.bfloat16
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_a_loop_is_over_at_its_end_however_it_ends() -> None:
    layer = StepLinear(3, 3)

    def broken_loop() -> None:
        with one_loop():
            layer(torch.randn(2, 3))
            raise KeyError

    with pytest.raises(KeyError):
        broken_loop()
    assert "_Product" not in str(layer(torch.randn(2, 3)).grad_fn)
