"""Products by oneDNN: the same numbers in float32, and only where they are wanted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common import products
from common.products import fast_products

pytestmark = pytest.mark.skipif(products._linear is None, reason="this PyTorch has no oneDNN")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The inputs of the products that oneDNN was given, however small."""
    seen: list[Tensor] = []
    ours = products._product

    def product(input: Tensor, *rest: Tensor | None) -> Tensor:
        seen.append(input)
        return ours(input, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr(products, "_product", product)
    return seen


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (5, 2, 3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_pytorch_to_the_digits_of_float32(
    shape: tuple[int, ...], bias: bool, calls: list[Tensor]
) -> None:
    layer, given = nn.Linear(4, 6, bias=bias), torch.randn(shape)
    with torch.no_grad(), fast_products():
        found = layer(given)
    assert len(calls) == 1
    torch.testing.assert_close(found, layer(given).detach(), rtol=1e-6, atol=1e-6)


def test_nothing_is_rounded_to_less_than_float32() -> None:
    layer, given = nn.Linear(512, 2048, bias=False), torch.randn(8, 512)
    with torch.no_grad(), fast_products():
        found = layer(given)
    exact = given.double() @ layer.weight.double().T
    assert (found - exact).abs().max() < 2e-5  # bfloat16 would be 1e-2 off


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_those_of_pytorch(bias: bool, calls: list[Tensor]) -> None:
    layer, given, weights = nn.Linear(4, 6, bias=bias), torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 6)
    wanted = [given, *layer.parameters()]
    with fast_products():
        found = torch.autograd.grad((weights * layer(given)).sum(), wanted)
    assert len(calls) == 3
    expected = torch.autograd.grad((weights * layer(given)).sum(), wanted)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_no_gradient_is_made_of_what_wants_none(calls: list[Tensor]) -> None:
    layer = nn.Linear(4, 6).requires_grad_(False)
    given = torch.randn(3, 4, requires_grad=True)
    with fast_products():
        layer(given).sum().backward()
    assert len(calls) == 2
    assert given.grad is not None
    assert layer.weight.grad is None


def test_other_types_and_autocast_are_left_to_pytorch(calls: list[Tensor]) -> None:
    layer, given = nn.Linear(4, 6), torch.randn(3, 4)
    with torch.no_grad(), fast_products():
        assert layer.double()(given.double()).dtype == torch.float64
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(given).dtype == torch.bfloat16
    assert not calls


def test_whoever_has_chosen_a_precision_gets_it(calls: list[Tensor]) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.no_grad(), fast_products():
            nn.Linear(4, 6)(torch.randn(3, 4))
    finally:
        torch.set_float32_matmul_precision(before)
    assert not calls


def test_small_products_stay_with_pytorch(calls: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST", 3 * 4 * 6 + 1)
    with torch.no_grad(), fast_products():
        nn.Linear(4, 6)(torch.randn(3, 4))
    assert not calls
