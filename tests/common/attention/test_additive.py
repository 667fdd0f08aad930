"""Additive logits in pieces, with gradients of their own: against the plain formula and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.attention import AdditiveScore, additive
from common.attention.additive import additive_logits
from common.attention.steps import one_loop

pieces = pytest.mark.parametrize(
    "cached", [1, 2 * 2 * 7 * 5, 10**6], ids=["one at a time", "two at a time", "all at once"]
)


def given(dtype: torch.dtype = torch.float64, examples: int = 5) -> list[Tensor]:
    shapes = (examples, 2, 5), (examples, 7, 5), (5,)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


def plain(query: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
    return (torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1)) * vector).sum(-1)


@pieces
def test_pieces_give_the_logits_and_gradients_of_the_whole(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "CACHED", cached)
    ours, weights = given(), torch.randn(5, 2, 7).double()
    found = additive_logits(*ours)
    expected = plain(*ours)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad((weights * found).sum(), ours),
        torch.autograd.grad((weights * expected).sum(), ours),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(additive_logits(*ours), expected, rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(additive_logits, given(examples=2))


def test_steps_that_share_their_keys_give_the_gradients_of_finite_differences() -> None:
    def three_looks(query: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
        looks = []
        with one_loop():
            for _ in range(3):
                looks.append(additive_logits(query, keys, vector))
                query = query + looks[-1].mean(-1, keepdim=True)
        return torch.stack(looks)

    assert torch.autograd.gradcheck(three_looks, given(examples=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_sums_give_numbers(dtype: torch.dtype) -> None:
    query, keys, vector = given(dtype)
    logits = additive_logits(1e4 * query, 1e4 * keys, vector)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in (query, keys, vector))


def test_keys_that_want_no_gradient_get_none() -> None:
    query, keys, vector = given()
    additive_logits(query, keys.detach(), vector).sum().backward()
    assert query.grad is not None
    assert keys.grad is None


def test_no_examples_give_no_logits() -> None:
    score = AdditiveScore(3, 4, hidden_dim=5)
    with torch.no_grad():
        assert score(torch.randn(0, 2, 3), score.project(torch.randn(0, 7, 4))).shape == (0, 2, 7)
