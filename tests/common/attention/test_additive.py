"""Additive logits in pieces, with gradients of their own: against the plain formula and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.attention import AdditiveScore, additive
from common.attention.additive import DecayedKeys, additive_logits, prepared
from common.attention.steps import many_looks, one_loop

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


def decayed(keys: Tensor) -> Tensor | DecayedKeys:
    with torch.no_grad(), many_looks():
        return prepared(keys)


@pieces
def test_keys_prepared_for_many_looks_give_the_same_logits(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "CACHED", cached)
    query, keys, vector = (each.detach() for each in given(torch.float32))
    ready = decayed(keys)
    assert isinstance(ready, DecayedKeys)
    exact = plain(*(each.double() for each in (query, keys, vector)))
    torch.testing.assert_close(additive_logits(query, ready, vector).double(), exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize("query", [-1e4, -100.0, -41.0, -30.5, -9.0, 9.0, 30.5, 41.0, 100.0, 1e4])
def test_prepared_keys_and_any_query_give_the_tanh_of_their_sum(query: float) -> None:
    keys = torch.tensor([-30.0, -29.5, -9.0, -1e-6, 0.0, 1e-6, 9.0, 29.5, 30.0]).view(1, -1, 1)
    found = additive_logits(torch.full((1, 1, 1), query), decayed(keys), torch.ones(1))
    torch.testing.assert_close(found.flatten(), torch.tanh(query + keys.double()).flatten().float(), rtol=0, atol=5e-7)


def test_keys_are_prepared_for_many_looks_only_where_these_follow_and_the_keys_are_small() -> None:
    keys = torch.full((1, 2, 3), 30.0)
    assert isinstance(decayed(keys), DecayedKeys)
    assert decayed(keys + 0.1).shape == keys.shape  # type: ignore[union-attr]
    assert prepared(keys) is keys
    with many_looks():
        assert prepared(keys) is keys  # a gradient may be wanted


def test_half_precision_keys_are_looked_at_in_float32() -> None:
    query, keys, vector = (each.detach() for each in given(torch.bfloat16))
    found = additive_logits(query, decayed(keys), vector)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain(query.float(), keys.float(), vector.float()), rtol=0, atol=2e-6)
