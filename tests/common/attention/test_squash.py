from __future__ import annotations

import pytest
import torch

from common.attention import squash
from common.attention.squash import FastTanh, fast_tanh


@pytest.mark.parametrize("cached", [1, 7, 10**6])
def test_it_is_tanh_to_the_digits_of_float32(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squash, "_CACHED", cached)
    values = torch.linspace(-12, 12, 50).view(5, 2, 5).transpose(0, 1)
    torch.testing.assert_close(fast_tanh(values).double(), values.double().tanh(), rtol=0, atol=2e-7)


def test_huge_values_and_none_give_numbers() -> None:
    assert FastTanh()(torch.tensor([-1e30, 0.0, 1e30])).tolist() == [-1, 0, 1]
    assert fast_tanh(torch.empty(0, 3)).shape == (0, 3)


def test_its_gradient_is_that_of_tanh() -> None:
    values, weights = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    (found,) = torch.autograd.grad((weights * fast_tanh(values)).sum(), values)
    (expected,) = torch.autograd.grad((weights * values.tanh()).sum(), values)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.autograd.gradcheck(fast_tanh, torch.randn(3, 2, dtype=torch.float64, requires_grad=True))
