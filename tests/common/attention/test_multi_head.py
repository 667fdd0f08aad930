from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from common.attention import AttentionMechanism, AttentionOnAttention, GeneralScore, Hard, MultiHead
from common.attention.attention import Attention
from common.training.parts import build
from tests.common.attention import reference_self_attention as reference
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import parameters


def _draw(mechanism: AttentionMechanism) -> AttentionMechanism:
    for parameter in mechanism.parameters():  # offsets start at zero, where a mistake about them would not show
        nn.init.normal_(parameter)
    return mechanism.double().eval()


@quick
@given(problem=problems())
def test_multi_head_agrees_with_the_plain_reference(problem: Problem) -> None:
    mechanism = _draw(MultiHead(WIDTH, WIDTH, heads=2, dropout=0.5))  # heads of one feature, joined back to three
    p, values = parameters(mechanism), problem.keys.flip(1)
    output = mechanism(problem.query, mechanism.prepare(problem.keys, problem.keep, values))
    assert output.parts is not None
    for index, keep in enumerate(problem.keep.numpy()):
        query, keys = problem.query[index].numpy(), problem.keys[index].numpy()
        context, weights = reference.multi_head(p, "attention", query, keys, keep, 2, values[index].numpy())
        np.testing.assert_allclose(output.context[index].detach(), context, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.parts[index].detach(), weights.swapaxes(0, 1), rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[index].detach(), weights.mean(0), rtol=0, atol=1e-10)


@quick
@given(problem=problems())
def test_attention_on_attention_agrees_with_the_plain_reference(problem: Problem) -> None:
    inner = MultiHead(WIDTH, WIDTH, heads=WIDTH, join=False)
    mechanism = _draw(AttentionOnAttention(WIDTH, WIDTH, inner))
    p = parameters(mechanism)
    output = mechanism(problem.query, mechanism.prepare(problem.keys, problem.keep))
    for index, keep in enumerate(problem.keep.numpy()):
        query, keys = problem.query[index].numpy(), problem.keys[index].numpy()
        found, weights = reference.multi_head(p, "attention.attention", query, keys, keep, WIDTH)
        gated = [reference.information_gate(p, "gate", c, q) for c, q in zip(found, query, strict=True)]
        np.testing.assert_allclose(output.context[index].detach(), np.array(gated), rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[index].detach(), weights.mean(0), rtol=0, atol=1e-10)


def test_multi_head_equals_pytorchs_own_with_widths_of_its_own() -> None:
    ours = MultiHead(query_dim=8, key_dim=8, heads=4).double().eval()
    theirs = nn.MultiheadAttention(8, 4, batch_first=True).double().eval()
    maps = ours.attention.map_query, ours.attention.map_key, ours.attention.map_value
    theirs.in_proj_weight.data = torch.cat([linear.weight for linear in maps])
    theirs.in_proj_bias.data = torch.cat([linear.bias for linear in maps])
    theirs.out_proj.load_state_dict(ours.attention.join.state_dict())
    query, keys = torch.randn(2, 3, 8).double(), torch.randn(2, 5, 8).double()
    keep = torch.tensor([[True, True, False, True, False], [True] * 5])
    output = ours(query, ours.prepare(keys, keep))
    expected, expected_weights = theirs(query, keys, keys, key_padding_mask=~keep)
    torch.testing.assert_close(output.context, expected)
    torch.testing.assert_close(output.weights, expected_weights)


def test_the_default_gate_is_over_heads_without_a_map_of_their_own() -> None:
    assert isinstance(AttentionOnAttention(5, 16).attention.attention.join, nn.Identity)
    assert isinstance(AttentionOnAttention(5, 20).attention.attention.join, nn.Linear)


def test_a_closed_gate_lets_nothing_through_and_an_open_one_all() -> None:
    mechanism = AttentionOnAttention(4, 4, MultiHead(4, 4, heads=2)).eval()
    query, keys, keep = torch.randn(1, 2, 4), torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    nn.init.zeros_(mechanism.gate.map.weight)
    mechanism.gate.map.weight.data[:4, :4] = torch.eye(4)  # i = v
    mechanism.gate.map.bias.data = torch.tensor([0.0] * 4 + [-100.0] * 2 + [100.0] * 2)
    found = mechanism.attention(query, mechanism.prepare(keys, keep)).context
    torch.testing.assert_close(
        mechanism(query, mechanism.prepare(keys, keep)).context, found * torch.tensor([0.0, 0.0, 1.0, 1.0])
    )


def test_the_gate_keeps_what_else_the_attention_within_returns() -> None:
    mechanism = AttentionOnAttention(3, 4, Attention(GeneralScore(3, 4), position=Hard())).train()
    keys = mechanism.prepare(torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool))
    output = mechanism(torch.randn(2, 1, 3), keys)
    assert output.log_prob is not None
    assert output.entropy is not None
    assert (mechanism.kind, mechanism.part_axis) == ("hard, attention on attention", None)


@pytest.mark.parametrize("query", [1, 4])
def test_dropout_is_on_query_and_context_in_training_alone(query: int) -> None:
    mechanism = AttentionOnAttention(4, 4, MultiHead(4, 4, heads=2, dropout=0), dropout=0.5)
    keys = mechanism.prepare(torch.randn(1, 5, 4), torch.ones(1, 5, dtype=torch.bool))
    asked = torch.randn(1, query, 4)
    first, second = (mechanism.train()(asked, keys) for _ in range(2))
    assert not first.context.equal(second.context)
    torch.testing.assert_close(first.weights, second.weights)
    first, second = (mechanism.eval()(asked, keys) for _ in range(2))
    torch.testing.assert_close(first.context, second.context)


def test_a_config_nests_any_attention_in_the_gate() -> None:
    recipe = {
        "class_path": "common.attention.AttentionOnAttention",
        "init_args": {"attention": {"class_path": "common.attention.MultiHead", "init_args": {"heads": 3}}},
    }
    mechanism = build(recipe, AttentionMechanism, query_dim=5, key_dim=7)
    assert mechanism.part_axis == "head"
    keys = mechanism.prepare(torch.randn(2, 4, 7), torch.ones(2, 4, dtype=torch.bool))
    assert mechanism(torch.randn(2, 3, 5), keys).context.shape == (2, 3, 7)
