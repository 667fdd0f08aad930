from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from common.attention import (
    AdditiveScore,
    Attention,
    AttentionMechanism,
    CosineScore,
    DotScore,
    Entmax15,
    Hard,
    LocationScore,
    MultiHead,
    SentinelAttention,
    Sigmoid,
    Softmax,
    Sparsemax,
)
from tests.common.attention.cases import SCORES, WIDTH, Problem, problems, quick
from tests.common.attention.reference import DISTRIBUTION, parameters
from tests.common.attention.reference_gates import sentinel_attention, two_steps

DISTRIBUTIONS = {"softmax": Softmax, "sparsemax": Sparsemax, "entmax15": Entmax15}


def build(distribution: str = "softmax") -> SentinelAttention:
    torch.manual_seed(0)
    score = AdditiveScore(WIDTH, WIDTH, hidden_dim=5)
    module = SentinelAttention(Attention(score, DISTRIBUTIONS[distribution]()), WIDTH)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


def sentinels(problem: Problem) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(problem.query.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@quick
@given(problem=problems())
def test_regions_and_sentinel_share_one_distribution(distribution: str, problem: Problem) -> None:
    module, sentinel = build(distribution), sentinels(problem)
    output, beta = module(problem.query, sentinel, module.prepare(problem.keys, problem.keep))
    p = parameters(module)
    for row, keep in enumerate(problem.keep.numpy()):
        for q, (query, own) in enumerate(zip(problem.query[row].numpy(), sentinel[row].numpy(), strict=True)):
            context, weights, expected = sentinel_attention(
                query, own, problem.keys[row].numpy(), keep, p, DISTRIBUTION[distribution]
            )
            np.testing.assert_allclose(output.context[row, q].detach(), context, rtol=0, atol=1e-10)
            np.testing.assert_allclose(output.weights[row, q].detach(), weights, rtol=0, atol=1e-10)
            assert beta[row, q].item() == pytest.approx(expected, abs=1e-10)
    torch.testing.assert_close(output.weights.sum(-1), 1 - beta)


@quick
@given(problem=problems())
def test_the_joint_softmax_is_the_papers_two_steps(problem: Problem) -> None:
    module, sentinel = build(), sentinels(problem)
    output, beta = module(problem.query, sentinel, module.prepare(problem.keys, problem.keep))
    p = parameters(module)
    for row in torch.nonzero(problem.keep.any(-1)).flatten().tolist():
        keep, regions = problem.keep[row].numpy(), problem.keys[row].numpy()
        for q, (query, own) in enumerate(zip(problem.query[row].numpy(), sentinel[row].numpy(), strict=True)):
            context, expected = two_steps(query, own, regions, keep, p)
            np.testing.assert_allclose(output.context[row, q].detach(), context, rtol=0, atol=1e-10)
            assert beta[row, q].item() == pytest.approx(expected, abs=1e-10)


def test_where_no_region_is_valid_the_sentinel_is_the_context() -> None:
    module = build()
    query, sentinel, keys = torch.randn(3, 1, 2, WIDTH, dtype=torch.float64).requires_grad_()
    output, beta = module(query, sentinel, module.prepare(keys, torch.zeros(1, 2, dtype=torch.bool)))
    assert torch.equal(beta, torch.ones_like(beta))
    torch.testing.assert_close(output.context, sentinel)
    output.context.sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in module.parameters())


def test_a_sentinel_whose_logit_is_far_below_the_others_leaves_plain_attention() -> None:
    module = SentinelAttention(Attention(DotScore(WIDTH, WIDTH)), WIDTH).double()
    query, keys = torch.randn(2, 2, 4, WIDTH, dtype=torch.float64)
    prepared = module.prepare(keys, torch.tensor([[True] * 4, [True, True, False, True]]))
    module.map_sentinel.weight.data = -1e4 * torch.eye(WIDTH, dtype=torch.float64)
    output, beta = module(query, query, prepared)  # the sentinel is the query: its logit is -1e4 |q|^2
    plain = module.attention(query, prepared)
    assert not beta.any()
    torch.testing.assert_close(output.weights, plain.weights)
    torch.testing.assert_close(output.context, plain.context)


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {"cosine"}))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_score_weighs_the_sentinel_in_any_precision(name: str, dtype: torch.dtype) -> None:
    module = SentinelAttention(Attention(SCORES[name]()), WIDTH).to(dtype)
    query, sentinel, keys = torch.randn(3, 2, 4, WIDTH, dtype=dtype)
    output, beta = module(query, sentinel, module.prepare(keys, torch.ones(2, 4, dtype=torch.bool)))
    assert output.weights.dtype == beta.dtype == torch.float32
    assert output.context.dtype == dtype
    torch.testing.assert_close(output.weights.sum(-1), 1 - beta)
    assert 0 < beta.min() < beta.max() < 1


def test_the_gradient_reaches_the_sentinel_and_its_map() -> None:
    module = build()
    query, sentinel, keys = torch.randn(3, 1, 2, WIDTH, dtype=torch.float64).requires_grad_()
    prepared = module.prepare(keys.detach(), torch.ones(1, 2, dtype=torch.bool))

    def run(query: Tensor, sentinel: Tensor) -> tuple[Tensor, Tensor]:
        output, beta = module(query, sentinel, prepared)
        return output.context, beta

    given = [each.detach().requires_grad_() for each in (query, sentinel)]
    assert torch.autograd.gradcheck(run, given)  # type: ignore[operator]
    module(query, sentinel, prepared)[1].sum().backward()
    assert module.map_sentinel.weight.grad is not None
    assert module.map_sentinel.weight.grad.all()


REFUSED: dict[str, tuple[AttentionMechanism[Any], str]] = {
    "hard": (Attention(AdditiveScore(WIDTH, WIDTH), position=Hard()), "one more logit beside the regions'"),
    "no score": (MultiHead(WIDTH, WIDTH, heads=1), "one more logit beside the regions'"),
    "gates": (Attention(AdditiveScore(WIDTH, WIDTH), Sigmoid()), "but Sigmoid's gates do not"),
    "places": (Attention(LocationScore(WIDTH, 4)), "LocationScore has no place for a sentinel"),
    "directions": (Attention(CosineScore(WIDTH, WIDTH)), "CosineScore has no place for a sentinel"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_attention_without_a_place_for_the_sentinel_is_refused(name: str) -> None:
    attention, reason = REFUSED[name]
    with pytest.raises(ValueError, match=reason):
        SentinelAttention(attention, WIDTH)
