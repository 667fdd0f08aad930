from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import (
    ActivatedGeneralScore,
    AdditiveScore,
    ConcatScore,
    CosineScore,
    DeepScore,
    DotScore,
    GeneralScore,
    LocationScore,
    ScaledDotScore,
)
from tests.common.attention import reference
from tests.common.attention.cases import SCORES, WIDTH, Problem, build_score, problems, quick


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("name", SCORES)
@quick
@given(problem=problems())
def test_logits_equal_the_equation_for_every_pair(name: str, problem: Problem) -> None:
    score = build_score(name)
    p = reference.parameters(score)
    logits = score(problem.query, score.project(problem.keys))
    for b, q, n in np.ndindex(*logits.shape):
        expected = reference.ALIGNMENT[name](problem.query[b, q].numpy(), problem.keys[b, n].numpy(), p)
        assert logits[b, q, n].item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", SCORES)
def test_gradients_are_right(name: str) -> None:
    score = build_score(name)

    def logits(query: Tensor, keys: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(dict(score.named_parameters()), parameters, strict=True))

        class Whole(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.score = score

            def forward(self, query: Tensor, keys: Tensor) -> Tensor:
                return self.score(query, self.score.project(keys))

        return torch.func.functional_call(Whole(), {f"score.{k}": v for k, v in named.items()}, (query, keys))

    inputs = [_draw(2, 2, WIDTH), _draw(2, 4, WIDTH), *(p.detach().clone() for p in score.parameters())]
    assert gradcheck(logits, [tensor.requires_grad_() for tensor in inputs])


def test_scores_can_be_copied_and_pickled() -> None:
    for name in SCORES:
        score = build_score(name)
        for twin in (copy.deepcopy(score), pickle.loads(pickle.dumps(score))):
            assert torch.equal(
                twin(_draw(1, 1, 3), twin.project(_draw(1, 2, 3))), score(_draw(1, 1, 3), score.project(_draw(1, 2, 3)))
            )
    pickle.dumps(ActivatedGeneralScore(WIDTH, WIDTH, activation="identity"))


# How the scores relate


def test_general_with_the_identity_equals_dot() -> None:
    general = GeneralScore(WIDTH, WIDTH).double()
    torch.nn.init.eye_(general.map_query.weight)
    torch.testing.assert_close(general(_draw(2, 3, 3), _draw(2, 4, 3)), DotScore(3, 3)(_draw(2, 3, 3), _draw(2, 4, 3)))


def test_general_takes_queries_and_keys_of_different_widths() -> None:
    assert GeneralScore(3, 5).double()(_draw(2, 4, 3), _draw(2, 6, 5)).shape == (2, 4, 6)


def test_scaled_dot_divides_by_the_root_of_the_width() -> None:
    query, keys = _draw(1, 2, 16), _draw(1, 3, 16)
    torch.testing.assert_close(ScaledDotScore(16, 16)(query, keys), DotScore(16, 16)(query, keys) / 4)


def test_concat_with_stacked_weights_equals_additive() -> None:
    additive, concat = AdditiveScore(3, 4, hidden_dim=5).double(), ConcatScore(3, 4, hidden_dim=5).double()
    with torch.no_grad():
        additive.map_key.bias.zero_()
        concat.map_pair.weight.copy_(torch.cat([additive.map_query.weight, additive.map_key.weight], 1))
        concat.score.weight.copy_(additive.vector.unsqueeze(0))
    query, keys = _draw(2, 3, 3), _draw(2, 6, 4)
    torch.testing.assert_close(concat(query, concat.project(keys)), additive(query, additive.project(keys)))


def test_deep_without_layers_and_with_tanh_equals_additive_up_to_the_last_offset() -> None:
    additive, deep = (
        AdditiveScore(3, 4, hidden_dim=5).double(),
        DeepScore(3, 4, 5, layers=0, activation="tanh").double(),
    )
    with torch.no_grad():
        deep.map_query.weight.copy_(additive.map_query.weight)
        deep.map_key.load_state_dict(additive.map_key.state_dict())
        deep.score.weight.copy_(additive.vector.unsqueeze(0))
    query, keys = _draw(2, 3, 3), _draw(2, 6, 4)
    expected = additive(query, additive.project(keys)) + deep.score.bias
    torch.testing.assert_close(deep(query, deep.project(keys)), expected)


def test_cosine_knows_directions_only() -> None:
    score = CosineScore(3, 3, sharpness=2.0).double()
    query, keys = _draw(2, 3, 3), _draw(2, 4, 3)
    logits = score(query, score.project(keys))
    torch.testing.assert_close(score(5 * query, score.project(0.01 * keys)), logits)
    torch.testing.assert_close(
        score(keys, score.project(keys)).diagonal(dim1=1, dim2=2), torch.full((2, 4), 2.0).double()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_cosine_of_a_zero_key_or_query_is_zero(dtype: torch.dtype) -> None:
    score = CosineScore(3, 3).to(dtype)
    assert score(torch.ones(1, 1, 3, dtype=dtype), score.project(torch.zeros(1, 2, 3, dtype=dtype))).tolist() == [
        [[0, 0]]
    ]
    assert score(torch.zeros(1, 1, 3, dtype=dtype), score.project(torch.ones(1, 1, 3, dtype=dtype))).tolist() == [[[0]]]


def test_location_is_a_linear_map_of_the_query_and_ignores_the_keys() -> None:
    score = LocationScore(3, positions=4).double()
    query = _draw(2, 3, 3)
    expected = torch.stack([query @ row for row in score.map_query.weight], -1)
    for keys in (_draw(2, 4, 3), -7 * _draw(2, 4, 3)):
        torch.testing.assert_close(score(query, score.project(keys)), expected)


def test_location_refuses_another_number_of_keys() -> None:
    with pytest.raises(ValueError, match="4 positions, the keys 5"):
        LocationScore(3, positions=4)(torch.zeros(1, 1, 3), torch.zeros(1, 5, 3))


def test_feature_ignores_the_query() -> None:
    score = build_score("feature")
    projected = score.project(_draw(2, 4, 3))
    assert torch.equal(score(_draw(2, 3, 3), projected), score(-_draw(2, 3, 3), projected))


@pytest.mark.parametrize("kind", [DotScore, ScaledDotScore, CosineScore])
def test_scores_without_weights_refuse_different_widths(kind: type[DotScore]) -> None:
    with pytest.raises(ValueError, match="got 3 and 4; use GeneralScore"):
        kind(3, 4)


# The additive score's own autograd function


def _plain_additive(score: AdditiveScore, query: Tensor, keys: Tensor) -> Tensor:
    return torch.tanh(score.map_query(query).unsqueeze(2) + score.map_key(keys).unsqueeze(1)) @ score.vector


@pytest.mark.parametrize("queries", [1, 3])
def test_additive_gives_the_gradients_that_autograd_gives(queries: int) -> None:
    score = build_score("additive")
    assert isinstance(score, AdditiveScore)
    query, keys = _draw(2, queries, WIDTH).requires_grad_(), _draw(2, 4, WIDTH).requires_grad_()
    wanted = [query, keys, *score.parameters()]
    upstream = _draw(2, queries, 4)
    ours, plain = score(query, score.project(keys)), _plain_additive(score, query, keys)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-14)
    for got, expected in zip(
        torch.autograd.grad(ours, wanted, upstream), torch.autograd.grad(plain, wanted, upstream), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_additive_gives_the_same_logits_with_and_without_gradients() -> None:
    score = build_score("additive")
    query, projected = _draw(2, 3, WIDTH), score.project(_draw(2, 4, WIDTH))
    with_gradients = score(query, projected)
    with torch.no_grad():
        torch.testing.assert_close(score(query, projected), with_gradients, rtol=0, atol=1e-14)


def test_additive_takes_keys_shared_by_expansion_and_strided_keys() -> None:
    score = build_score("additive")
    query = _draw(3, 1, WIDTH).requires_grad_()
    shared = score.project(_draw(1, 4, WIDTH)).detach().requires_grad_()
    strided = _draw(3, 5, 4).requires_grad_()
    for projected in (shared.expand(3, -1, -1), strided.transpose(1, 2), strided.mT[:, ::2]):
        logits = score(query, projected)
        expected = torch.tanh(score.map_query(query).unsqueeze(2) + projected.unsqueeze(1)) @ score.vector
        source = shared if projected.shape[1] == 4 and projected.stride(0) == 0 else strided
        ours, plain = torch.autograd.grad(logits.sum(), source), torch.autograd.grad(expected.sum(), source)
        torch.testing.assert_close(ours, plain)


def test_additive_never_changes_what_it_is_given() -> None:
    score = build_score("additive")
    query, projected = _draw(2, 3, WIDTH), score.project(_draw(2, 4, WIDTH)).detach().requires_grad_()
    before = projected.detach().clone()
    score(query, projected).sum().backward()
    assert torch.equal(projected, before)


def test_additive_works_under_autocast() -> None:
    score = build_score("additive").float()
    query, keys = _draw(2, 3, WIDTH).float().requires_grad_(), _draw(2, 4, WIDTH).float()
    exact = score(query, score.project(keys))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = score(query, score.project(keys))
    torch.testing.assert_close(logits.float(), exact, rtol=0, atol=0.1)
    logits.float().sum().backward()
    assert query.grad is not None
    assert score.vector.grad is not None
    assert score.vector.grad.dtype == torch.float32
