from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from common.attention.transformer import MemorySlots, MultiHeadAttention, TransformerLayer, sinusoids
from tests.common.attention import reference_self_attention as reference
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import parameters

Module = TypeVar("Module", bound=nn.Module)


def _drawn(module: Module) -> Module:
    for parameter in module.parameters():  # offsets start at zero, where a mistake about them would not show
        nn.init.normal_(parameter)
    return module.double()


def test_multi_head_attention_equals_pytorchs_own() -> None:
    ours = MultiHeadAttention(8, heads=4).double().eval()
    theirs = nn.MultiheadAttention(8, 4, batch_first=True).double().eval()
    maps = (ours.map_query, ours.map_key, ours.map_value)
    theirs.in_proj_weight.data = torch.cat([linear.weight for linear in maps])
    theirs.in_proj_bias.data = torch.cat([linear.bias for linear in maps])
    theirs.out_proj.load_state_dict(ours.join.state_dict())
    query, keys = torch.randn(2, 3, 8).double(), torch.randn(2, 5, 8).double()
    keep = torch.tensor([[True, True, False, True, False], [True] * 5])
    context, weights = ours(query, keys, keep)
    expected, expected_weights = theirs(query, keys, keys, key_padding_mask=~keep, average_attn_weights=False)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, expected_weights)


@pytest.mark.parametrize("slots", [0, 2])
def test_the_context_alone_is_that_with_the_weights(slots: int) -> None:
    attention = _drawn(MultiHeadAttention(8, heads=4, dropout=0.5, memory_slots=slots)).eval()
    query, keys = torch.randn(3, 2, 8).double(), torch.randn(3, 5, 8).double()
    keep = torch.tensor([[True, True, False, True, False], [True] * 5, [False] * 5])
    masks = torch.rand(1, 2, 5) < 0.5
    for each in (keep, masks):
        projected = attention.project(keys, keep)._replace(keep=each)
        torch.testing.assert_close(attention.context(query, projected), attention.attend(query, projected)[0])


def test_queries_of_a_picture_may_be_shared_by_its_texts() -> None:
    attention = _drawn(MultiHeadAttention(8, heads=4)).eval()
    query, keys = torch.randn(2, 3, 8).double(), torch.randn(4, 5, 8).double()
    projected = attention.project(keys, torch.rand(4, 5) < 0.7)
    expected, weights = attention.attend(query[[0, 0, 1, 1]], projected)
    torch.testing.assert_close(attention.attend(query, projected), (expected, weights))
    torch.testing.assert_close(attention.context(query, projected), expected)


def test_with_dropout_of_the_weights_these_are_there() -> None:
    attention = MultiHeadAttention(8, heads=4, dropout=1.0).train()
    context = attention.context(torch.randn(1, 2, 8), attention.project(torch.randn(1, 5, 8), torch.ones(1, 5) > 0))
    torch.testing.assert_close(context, attention.join.bias.expand(1, 2, -1))


def test_with_nothing_valid_every_head_has_zero_weights_and_no_gradient_is_nan() -> None:
    attention = MultiHeadAttention(4, heads=2)
    query = torch.randn(1, 3, 4, requires_grad=True)
    context, weights = attention(query, query, torch.zeros(1, 3, dtype=torch.bool))
    assert not weights.any()
    torch.testing.assert_close(context, attention.join.bias.expand(1, 3, 4))
    context.sum().backward()
    assert query.grad is not None
    assert not query.grad.any()


def test_the_weights_returned_are_those_before_dropout() -> None:
    attention = MultiHeadAttention(4, heads=2, dropout=0.5).train()
    items = torch.randn(1, 6, 4)
    weights = attention(items, items, torch.ones(1, 6, dtype=torch.bool))[1]
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 6))


def test_heads_that_do_not_divide_the_width_get_a_little_less_and_are_joined_back() -> None:
    attention = MultiHeadAttention(7, heads=3, query_dim=5)
    assert attention.map_query.weight.shape == (6, 5)
    context, weights = attention(torch.randn(2, 4, 5), torch.randn(2, 3, 7), torch.ones(2, 3, dtype=torch.bool))
    assert (context.shape, weights.shape) == ((2, 4, 7), (2, 3, 4, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 8}, "8 heads do not divide the width 6"),
        ({"heads": 2, "inner_dim": 5}, "2 heads do not divide the width 5"),
        ({"heads": 4, "join": False}, "heads of 4 features in all are no context of 6"),
    ],
)
def test_impossible_widths_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(6, **settings)


@quick
@given(problem=problems(), slots=st.integers(0, 2), join=st.booleans())
def test_multi_head_attention_agrees_with_the_plain_reference(problem: Problem, slots: int, join: bool) -> None:
    attention = _drawn(MultiHeadAttention(WIDTH, heads=WIDTH, memory_slots=slots, join=join))
    context, weights = attention(problem.query, problem.keys, problem.keep)
    p = {f"a.{name}": value for name, value in parameters(attention).items()}
    for index, keep in enumerate(problem.keep.numpy()):
        expected, expected_weights = reference.multi_head(
            p, "a", problem.query[index].numpy(), problem.keys[index].numpy(), keep, WIDTH
        )
        np.testing.assert_allclose(context[index].detach(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(weights[index].detach(), expected_weights, rtol=0, atol=1e-10)


def test_each_query_may_have_a_mask_of_its_own() -> None:
    attention = MultiHeadAttention(4, heads=2, memory_slots=1).double()
    query, keys = torch.randn(2, 3, 4).double(), torch.randn(2, 3, 4).double()
    masks = torch.ones(1, 3, 3, dtype=torch.bool).tril()
    projected = attention.project(keys, torch.ones(2, 3, dtype=torch.bool))._replace(keep=masks)
    context, weights = attention.attend(query, projected)
    for index in range(3):
        alone = attention(query[:, index : index + 1], keys, masks[:, index].expand(2, 3))
        torch.testing.assert_close(context[:, index], alone[0][:, 0])
        torch.testing.assert_close(weights[:, :, index], alone[1][:, :, 0])


def test_with_nothing_valid_the_look_goes_to_the_slots_alone() -> None:
    attention = MultiHeadAttention(4, heads=2, memory_slots=3)
    keys = torch.randn(1, 5, 4)
    context, weights = attention(torch.randn(1, 2, 4), keys, torch.zeros(1, 5, dtype=torch.bool))
    assert weights.shape == (1, 2, 2, 5)
    assert not weights.any()
    assert (context - attention.join.bias).abs().min() > 0
    context.sum().backward()
    assert attention.memory is not None
    assert attention.memory.keys.grad.any(-1).all()
    assert attention.memory.values.grad.all()


def test_slots_take_a_share_of_the_look() -> None:
    attention = MultiHeadAttention(4, heads=2, memory_slots=3)
    weights = attention(torch.randn(1, 2, 4), torch.randn(1, 5, 4), torch.ones(1, 5, dtype=torch.bool))[1]
    assert (weights.sum(-1) < 1).all()
    assert (weights > 0).all()


def test_slots_begin_as_large_as_projected_items() -> None:
    memory = MemorySlots(slots=1000, heads=2, head_dim=64)
    assert memory.keys.std().item() == pytest.approx(1 / 8, rel=0.02)
    assert memory.values.std().item() == pytest.approx(1000**-0.5, rel=0.02)
    keys, values = memory(torch.zeros(3, 2, 5, 64), torch.zeros(3, 2, 5, 64))
    assert keys.shape == (3, 2, 1005, 64)
    assert keys[:, :, 5:].std().item() == pytest.approx(1, rel=0.02)
    assert values[:, :, 5:].std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("slots", [0, 2])
@pytest.mark.parametrize("norm", ["before", "after"])
@quick
@given(problem=problems())
def test_a_layer_agrees_with_the_plain_reference(
    norm: Literal["before", "after"], slots: int, problem: Problem
) -> None:
    layer = _drawn(TransformerLayer(WIDTH, heads=WIDTH, dropout=0.5, norm=norm, memory_slots=slots)).eval()
    items, weights = layer(problem.keys, problem.keep)
    p = {f"a.{name}": value for name, value in parameters(layer).items()}
    for index, keep in enumerate(problem.keep.numpy()):
        expected, expected_weights = reference.transformer_layer(p, "a", problem.keys[index].numpy(), keep, WIDTH, norm)
        np.testing.assert_allclose(items[index].detach(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(weights[index].detach(), expected_weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dim", [6, 5])
def test_sinusoids_are_those_of_the_paper(dim: int) -> None:
    encodings = sinusoids(torch.arange(7), dim)
    assert encodings.shape == (7, dim)
    for position in range(7):
        for i in range(dim):
            angle = position / 10000 ** (2 * (i // 2) / dim)
            assert encodings[position, i].item() == pytest.approx(
                math.cos(angle) if i % 2 else math.sin(angle), abs=1e-6
            )
