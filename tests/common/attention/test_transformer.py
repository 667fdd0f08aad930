from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from common.attention.transformer import MultiHeadAttention, TransformerLayer, sinusoids


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


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 6 is no multiple of 4 heads"):
        TransformerLayer(6, heads=4)


@pytest.mark.parametrize("dim", [6, 5])
def test_sinusoids_are_those_of_the_paper(dim: int) -> None:
    encodings = sinusoids(7, dim)
    assert encodings.shape == (7, dim)
    for position in range(7):
        for i in range(dim):
            angle = position / 10000 ** (2 * (i // 2) / dim)
            assert encodings[position, i].item() == pytest.approx(
                math.cos(angle) if i % 2 else math.sin(angle), abs=1e-6
            )
