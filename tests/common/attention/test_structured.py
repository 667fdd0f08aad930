from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn
from torch.autograd import gradcheck

from common.attention import Attention, FeatureScore, QuestionGuided, StructuredPooling
from common.attention.structured import redundancy
from common.training.parts import build
from tests.common.attention import reference_self_attention as reference
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import parameters


@quick
@given(problem=problems())
def test_pooling_agrees_with_the_plain_reference(problem: Problem) -> None:
    pooling = StructuredPooling(WIDTH, hidden_dim=5, glimpses=3, dropout=0.5).double().eval()
    output = pooling(problem.query, pooling.prepare(problem.keys, problem.keep))
    p, queries = parameters(pooling), problem.query.shape[1]
    assert output.parts is not None
    for index, keep in enumerate(problem.keep.numpy()):
        context, weights = reference.structured_pooling(p, problem.keys[index].numpy(), keep)
        for query in range(queries):
            np.testing.assert_allclose(output.context[index, query].detach(), context, rtol=0, atol=1e-10)
            np.testing.assert_allclose(output.parts[index, query].detach(), weights, rtol=0, atol=1e-10)
            np.testing.assert_allclose(output.weights[index, query].detach(), weights.mean(0), rtol=0, atol=1e-10)


def test_one_glimpse_is_the_pooling_of_hierarchical_attention_networks() -> None:
    pooling = StructuredPooling(4, hidden_dim=5, glimpses=1).double()
    hierarchical = Attention(FeatureScore(key_dim=4, hidden_dim=5)).double()
    nn.init.zeros_(hierarchical.score.map_key.bias)
    hierarchical.score.map_key.weight.data = pooling.map_key.weight.data
    hierarchical.score.score.weight.data = pooling.score.weight.data
    pooling.join.weight.data = torch.eye(4).double()
    nn.init.zeros_(pooling.join.bias)
    keys, keep = torch.randn(2, 5, 4).double(), torch.tensor([[True] * 5, [True, False, True, True, False]])
    query = torch.randn(2, 3, 4).double()
    got, expected = (m(query, m.prepare(keys, keep)) for m in (pooling, hierarchical))
    torch.testing.assert_close(got.context, expected.context)
    torch.testing.assert_close(got.weights, expected.weights)


def test_redundancy_is_zero_for_glimpses_of_one_item_each_and_no_two_of_the_same() -> None:
    torch.testing.assert_close(redundancy(torch.eye(5)[[3, 0, 2]]), torch.tensor(0.0))
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # A A^T is all ones
    even = torch.full((2, 2), 0.5)  # A A^T is one half
    torch.testing.assert_close(redundancy(torch.stack([same, even])), torch.tensor([2.0, 1.0]))


def test_redundancy_grows_with_the_glimpses_and_where_nothing_is_valid_it_is_their_number() -> None:
    looks = [redundancy(torch.full((glimpses, 10), 0.1)).item() for glimpses in (1, 2, 4)]
    assert looks == sorted(looks)
    parts = torch.zeros(2, 3, 4, 5, requires_grad=True)
    penalty = redundancy(parts)
    torch.testing.assert_close(penalty, torch.full((2, 3), 4.0))
    penalty.sum().backward()
    assert not parts.grad.any()


@quick
@given(problem=problems())
def test_redundancy_is_the_squared_frobenius_norm(problem: Problem) -> None:
    parts = problem.keys.softmax(-1)  # any weights
    for penalty, matrix in zip(redundancy(parts), parts.numpy(), strict=True):
        count, total = len(matrix), 0.0
        for i in range(count):
            for j in range(count):
                total += (sum(matrix[i, n] * matrix[j, n] for n in range(matrix.shape[1])) - (i == j)) ** 2
        assert penalty.item() == pytest.approx(total, abs=1e-10)
    assert gradcheck(redundancy, (parts.requires_grad_(),))


def test_training_on_redundancy_drives_the_glimpses_apart() -> None:
    pooling = StructuredPooling(4, hidden_dim=8, glimpses=3)
    keys, keep = torch.randn(1, 6, 4), torch.ones(1, 6, dtype=torch.bool)
    optimiser = torch.optim.Adam(pooling.parameters(), lr=0.05)
    start = redundancy(pooling.prepare(keys, keep).parts).item()
    for _ in range(100):
        optimiser.zero_grad()
        redundancy(pooling.prepare(keys, keep).parts).sum().backward()
        optimiser.step()
    parts = pooling.prepare(keys, keep).parts
    assert redundancy(parts).item() < 0.1 * start
    assert parts[0, 0].argmax(-1).unique().numel() == 3


def test_it_pools_the_words_of_a_question() -> None:
    recipe = {
        "class_path": "common.attention.QuestionGuided",
        "init_args": {
            "attention": {"class_path": "common.attention.MultiHead", "init_args": {"heads": 2}},
            "pooling": {
                "class_path": "common.attention.StructuredPooling",
                "init_args": {"hidden_dim": 5, "glimpses": 2},
            },
        },
    }
    guided = build(recipe, QuestionGuided, dim=4, query_dim=4, key_dim=4)
    word_keep, region_keep = torch.ones(2, 3, 5, dtype=torch.bool), torch.ones(2, 6, dtype=torch.bool)
    output = guided(torch.randn(2, 3, 5, 4), word_keep, torch.randn(2, 6, 4), region_keep)
    assert output.words.shape == (2, 3, 4)
    torch.testing.assert_close(output.word_weights.sum(-1), torch.ones(2, 3))


def test_no_glimpse_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one glimpse is needed, got 0"):
        StructuredPooling(4, glimpses=0)
