from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import DirectionalSelfAttention, SourceToToken
from common.attention.directional import Direction
from tests.common.attention import reference
from tests.common.attention import reference_representations as loops
from tests.common.attention.cases import WIDTH, Problem, problems, quick

DIRECTIONS: list[Direction] = ["forward", "backward", "diagonal"]
every_direction = pytest.mark.parametrize("direction", DIRECTIONS)


def _build(direction: Direction, dropout: float = 0.0) -> DirectionalSelfAttention:
    torch.manual_seed(0)
    module = DirectionalSelfAttention(WIDTH, 4, direction, dropout).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module


def _words(length: int = 4, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(batch, length, WIDTH, generator=generator, dtype=torch.float64)
    return items, torch.ones(batch, length, dtype=torch.bool)


@every_direction
@quick
@given(problem=problems())
def test_words_gather_as_in_the_reference(direction: Direction, problem: Problem) -> None:
    module = _build(direction)
    fused, weights = module(problem.keys, problem.keep)
    p = reference.parameters(module)
    for b, keep in enumerate(problem.keep):
        expected = loops.directional(p, problem.keys[b].numpy(), keep.numpy(), direction)
        for got, each in zip((fused[b], weights[b]), expected, strict=True):
            np.testing.assert_allclose(got.detach().numpy(), each, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("direction", "first", "last"), [("forward", 0, 1), ("backward", 1, 0), ("diagonal", 1, 1)])
def test_no_word_looks_at_itself_nor_against_its_direction(direction: Direction, first: int, last: int) -> None:
    weights = _build(direction)(*_words())[1]
    assert not weights.diagonal(dim1=1, dim2=2).any()
    below, above = (weights.tril(-1).any().item(), weights.triu(1).any().item())
    assert (below, above) == {"forward": (True, False), "backward": (False, True), "diagonal": (True, True)}[direction]
    totals = torch.ones(2, 4, dtype=torch.float64)
    totals[:, 0], totals[:, -1] = first, last
    torch.testing.assert_close(weights.sum(-1), totals)


@every_direction
def test_gradients_are_right_with_padding_and_a_text_without_words(direction: Direction) -> None:
    module, (items, keep) = _build(direction), _words(3, 3)
    keep = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.bool)
    items.requires_grad_()
    assert gradcheck(lambda words: module(words, keep)[0], items)
    module(items, keep)[0].sum().backward()
    assert items.grad is not None
    assert not items.grad[~keep].any()


@every_direction
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_finite_and_close(direction: Direction, dtype: torch.dtype) -> None:
    items, keep = _words(5)
    keep[1, 2:] = False
    low, weights = _build(direction).to(dtype)(items.to(dtype), keep)
    exact = _build(direction)(items, keep)
    assert weights.dtype == torch.float32
    tolerance = {torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    for got, expected in zip((low, weights), exact, strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


def test_dropout_touches_the_logits_alone() -> None:
    module, (items, keep) = _build("forward", dropout=0.5), _words()
    one, two = module(items, keep)[0], module(items, keep)[0]
    assert torch.equal(
        one[:, :2], two[:, :2]
    )  # the first word looks at none, the second at the first whatever its logit
    assert not torch.equal(one, two)
    module.eval()
    torch.testing.assert_close(module(items, keep), _build("forward")(items, keep))


@quick
@given(problem=problems())
def test_source2token_equals_the_reference_for_every_query(problem: Problem) -> None:
    torch.manual_seed(0)
    module = SourceToToken(WIDTH, 5).double()
    output = module(problem.query, module.prepare(problem.keys, problem.keep))
    p = reference.parameters(module)
    assert output.parts is not None
    for b, q in np.ndindex(*problem.query.shape[:2]):
        context, weights = loops.source_to_token(p, problem.keys[b].numpy(), problem.keep[b].numpy())
        for got, each in ((output.context, context), (output.parts, weights), (output.weights, weights.mean(0))):
            np.testing.assert_allclose(got[b, q].detach().numpy(), each, rtol=0, atol=1e-10)
