"""Stacked attention, end-to-end and key-value memory against their references, and what their papers say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from common.attention import (
    AdditiveScore,
    Attention,
    DotScore,
    EndToEndMemory,
    Grid,
    KeyValueMemory,
    StackedAttention,
)
from common.attention.memory import BoundedAdditiveScore, MemoryNetwork
from tests.common.attention import reference_memory
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import parameters


def _drawn(module: nn.Module, std: float = 0.5) -> Any:
    torch.manual_seed(0)
    module.double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _row(batch: int, width: int) -> Grid:
    return Grid(1, width, torch.tensor([[0.1, -0.2, 0.9, 1.2]], dtype=torch.float64).expand(batch, 4))


def _assert_agrees(
    mechanism: MemoryNetwork[Any],
    problem: Problem,
    layout: Grid | None,
    refer: Callable[..., reference_memory.Recalled],
    **given: Any,
) -> None:
    """`refer(p, query, keys, keep=..., **given)` for each query of each example."""
    output = mechanism(problem.query, mechanism.prepare(problem.keys, problem.keep, layout=layout))
    assert output.parts is not None
    copied = parameters(mechanism)
    for b, q in _pairs(problem.query):
        context, parts = refer(
            copied, problem.query[b, q].numpy(), problem.keys[b].numpy(), keep=problem.keep[b].numpy(), **given
        )
        torch.testing.assert_close(output.context[b, q], torch.from_numpy(context), rtol=0, atol=1e-10)
        torch.testing.assert_close(output.parts[b, q], torch.from_numpy(parts), rtol=0, atol=1e-10)
    torch.testing.assert_close(output.weights, output.parts.mean(2))


def _pairs(query: Tensor) -> Iterator[tuple[int, int]]:
    return ((b, q) for b in range(query.shape[0]) for q in range(query.shape[1]))


@pytest.mark.parametrize("variant", ["paper", "code"])
@quick
@given(problem=problems())
def test_stacked_attention_agrees_with_the_reference(variant: Any, problem: Problem) -> None:
    mechanism = _drawn(StackedAttention(WIDTH, WIDTH, hops=3, hidden_dim=5, variant=variant))
    _assert_agrees(mechanism, problem, None, reference_memory.stacked_attention, hops=3, variant=variant)


@pytest.mark.parametrize("tying", ["adjacent", "layer"])
@pytest.mark.parametrize("placed", [False, True])
@quick
@given(problem=problems())
def test_end_to_end_memory_agrees_with_the_reference(tying: Any, placed: bool, problem: Problem) -> None:
    mechanism = _drawn(EndToEndMemory(WIDTH, WIDTH, hops=3, tying=tying))
    layout = _row(*problem.keep.shape) if placed else None
    corners = layout.rectangles()[0].numpy() if layout else None
    _assert_agrees(mechanism, problem, layout, reference_memory.end_to_end_memory, corners=corners, hops=3, tying=tying)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("key", ["region", "place", "both"])
@quick
@given(problem=problems())
def test_key_value_memory_agrees_with_the_reference(variant: Any, key: Any, problem: Problem) -> None:
    mechanism = _drawn(KeyValueMemory(WIDTH, WIDTH, hops=2, key=key, variant=variant))
    layout = _row(*problem.keep.shape)
    corners = None if key == "region" else layout.rectangles()[0].numpy()

    def refer(p: Any, query: Any, keys: Any, **given: Any) -> reference_memory.Recalled:
        return reference_memory.key_value_memory(p, query, keys, keys, **given)

    _assert_agrees(mechanism, problem, layout, refer, corners=corners, hops=2, variant=variant)


@quick
@given(problem=problems())
def test_a_query_of_another_width_is_mapped_first(problem: Problem) -> None:
    mechanism = _drawn(StackedAttention(WIDTH, 4, hops=2, hidden_dim=5))
    problem.keys = torch.cat([problem.keys, problem.keys[..., :1]], -1)
    _assert_agrees(mechanism, problem, None, reference_memory.stacked_attention, hops=2, variant="paper")


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_two_hops_add_up_to_what_was_asked_and_read(variant: Any) -> None:
    mechanism = _drawn(StackedAttention(4, 4, hops=2, hidden_dim=5, variant=variant))
    query, keys = _normal(2, 3, 4), _normal(2, 6, 4, seed=1)
    output = mechanism(query, mechanism.prepare(keys, torch.ones(2, 6, dtype=torch.bool)))
    first, second = output.parts.unbind(2)
    torch.testing.assert_close(query + output.context, second @ keys + first @ keys + query)
    torch.testing.assert_close(output.context, 2 * (output.weights @ keys))  # the mean is each region's share


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_stacked_attention_over_nothing_returns_the_question(variant: Any) -> None:
    mechanism = _drawn(StackedAttention(4, 4, hidden_dim=5, variant=variant))
    output = mechanism(_normal(1, 2, 4), mechanism.prepare(_normal(1, 3, 4), torch.zeros(1, 3, dtype=torch.bool)))
    assert not output.context.any()


def test_one_hop_of_stacked_attention_is_additive_attention() -> None:
    stacked = _drawn(StackedAttention(4, 4, hops=1, hidden_dim=5))
    plain = Attention(stacked.scores[0])
    query, keys, keep = _normal(2, 3, 4), _normal(2, 6, 4, seed=1), torch.ones(2, 6, dtype=torch.bool)
    got, expected = (each(query, each.prepare(keys, keep)) for each in (stacked, plain))
    torch.testing.assert_close(got.context, expected.context)
    torch.testing.assert_close(got.weights, expected.weights)


def test_released_weights_are_bounded_by_the_outer_tanh() -> None:
    score = _drawn(BoundedAdditiveScore(4, 4, hidden_dim=5), std=30.0)
    weights = score(_normal(2, 50, 4), score.project(_normal(2, 196, 4, seed=1))).softmax(-1)
    highest = math.e / (math.e + 195 / math.e)
    assert 0.03 < weights.max() <= highest < 0.0366
    assert weights.min() >= math.exp(-1) / (math.exp(-1) + 195 * math.e) > 0.0006


def test_the_query_does_not_change_the_order_of_the_released_weights() -> None:
    score = _drawn(BoundedAdditiveScore(4, 4, hidden_dim=5))
    order = score(_normal(1, 20, 4), score.project(_normal(1, 9, 4, seed=1))).argsort(-1)
    assert (order == order[:, :1]).all()


def test_both_variants_agree_where_every_tanh_is_nearly_linear() -> None:
    paper, code = AdditiveScore(4, 4, hidden_dim=5).double(), BoundedAdditiveScore(4, 4, hidden_dim=5).double()
    with torch.no_grad():
        code.map_query.weight.copy_(paper.map_query.weight)
        code.map_key.load_state_dict(paper.map_key.state_dict())
        code.score.weight.copy_(paper.vector.unsqueeze(0))
        code.map_query.bias.zero_()
        code.score.bias.zero_()
        for each in (paper.map_key.bias, code.map_key.bias):
            each.zero_()
    query, keys = 1e-4 * _normal(1, 3, 4), 1e-4 * _normal(1, 6, 4, seed=1)
    torch.testing.assert_close(paper(query, paper.project(keys)), code(query, code.project(keys)), rtol=1e-6, atol=0)


def test_adjacent_hops_share_one_matrix() -> None:
    mechanism = _drawn(EndToEndMemory(4, 4, hops=3))
    slots = mechanism.prepare(_normal(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)).embedded
    for (_, read), (address, _) in zip(mechanism.roles, mechanism.roles[1:], strict=False):  # C^k, A^{k+1}
        assert slots[read].data_ptr() == slots[address].data_ptr()
        assert mechanism.embeddings[read].weight.data_ptr() == mechanism.embeddings[address].weight.data_ptr()
    assert mechanism.map_question.weight.data_ptr() == mechanism.embeddings[0].weight.data_ptr()  # B = A^1
    assert len(mechanism.embeddings) == len(mechanism.places) == 4


def test_gradients_of_adjacent_matrices_are_the_sum_over_their_roles() -> None:
    query, keys, hops = _normal(2, 3, 4), _normal(2, 5, 4, seed=1), 2
    tied = _drawn(EndToEndMemory(4, 4, hops=hops))
    tied(query, tied.prepare(keys, torch.ones(2, 5, dtype=torch.bool))).context.sum().backward()
    a = [tied.embeddings[hop].weight.detach().clone().requires_grad_() for hop in range(hops)]
    c = [tied.embeddings[hop + 1].weight.detach().clone().requires_grad_() for hop in range(hops)]
    b = tied.embeddings[0].weight.detach().clone().requires_grad_()
    u = query @ b.T
    for hop in range(hops):
        u = u + (u @ (keys @ a[hop].T).mT).softmax(-1) @ (keys @ c[hop].T)
    u.sum().backward()
    expected = [b.grad + a[0].grad, a[1].grad + c[0].grad, c[1].grad]  # type: ignore[operator]
    for embedding, gradient in zip(tied.embeddings, expected, strict=True):
        torch.testing.assert_close(embedding.weight.grad, gradient)


def test_layer_wise_tying_has_one_pair_and_a_carry() -> None:
    names = {name for name, _ in EndToEndMemory(4, 4, hops=5, tying="layer", positions=False).named_parameters()}
    assert names == {"embeddings.0.weight", "embeddings.1.weight", "map_question.weight", "carry.weight"}


def test_one_hop_of_end_to_end_memory_is_dot_attention() -> None:
    memory = _drawn(EndToEndMemory(4, 4, hops=1, positions=False))
    query, keys, keep = _normal(2, 3, 4), _normal(2, 6, 4, seed=1), torch.tensor([[1, 1, 0, 1, 1, 1], [1] * 6]).bool()
    embed, read = memory.embeddings
    plain = Attention(DotScore(4, 4))
    expected = plain(embed(query), plain.prepare(embed(keys), keep, read(keys)))
    got = memory(query, memory.prepare(keys, keep))
    torch.testing.assert_close(got.weights, expected.weights)
    torch.testing.assert_close(query + got.context, embed(query) + expected.context)


def test_key_value_memory_with_plain_turns_and_one_map_is_end_to_end_memory() -> None:
    pairs, end_to_end = _drawn(KeyValueMemory(4, 4, hops=3)), _drawn(EndToEndMemory(4, 4, hops=3, tying="layer"))
    with torch.no_grad():
        for turn in (*pairs.rotations, end_to_end.carry):
            turn.weight.copy_(torch.eye(4))
        for matrix in (pairs.map_value, *end_to_end.embeddings):
            matrix.weight.copy_(pairs.map_key.weight)  # A = C
        end_to_end.map_question.weight.copy_(pairs.map_question.weight)
    query, keys, keep = _normal(2, 3, 4), _normal(2, 6, 4, seed=1), torch.tensor([[1, 1, 0, 1, 1, 1], [1] * 6]).bool()
    got, expected = (each(query, each.prepare(keys, keep)) for each in (pairs, end_to_end))
    torch.testing.assert_close(got.context, expected.context)
    torch.testing.assert_close(got.parts, expected.parts)


def test_keys_and_values_are_two_views() -> None:
    mechanism = _drawn(KeyValueMemory(4, 4, key="place"))
    layout, keep, query = _row(1, 5), torch.ones(1, 5, dtype=torch.bool), _normal(1, 2, 4)
    one, other = (mechanism.prepare(_normal(1, 5, 4, seed=seed), keep, layout=layout) for seed in (1, 2))
    torch.testing.assert_close(one.keys, other.keys)
    first = mechanism(query, one).parts[:, :, 0]
    torch.testing.assert_close(first, mechanism(query, other).parts[:, :, 0])  # found by its place, whatever is there
    assert not torch.allclose(mechanism(query, one).context, mechanism(query, other).context)


@pytest.mark.parametrize("key", ["region", "both"])
def test_key_value_memory_finds_what_is_like_the_question_before_it_has_learned_anything(key: Any) -> None:
    torch.manual_seed(0)
    memory, slots = KeyValueMemory(64, 64, hops=2, key=key), 2 * torch.randn(1, 9, 64)
    layout = Grid(3, 3, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    prepared = memory.prepare(slots, torch.ones(1, 9, dtype=torch.bool), layout=layout)
    first = memory(slots, prepared).parts[0, :, 0]  # each slot is asked for
    assert first.argmax(-1).tolist() == list(range(9))


def test_released_key_value_memory_turns_between_hops_only() -> None:
    assert [len(KeyValueMemory(4, 4, hops=3, variant=variant).rotations) for variant in ("paper", "code")] == [3, 2]


@pytest.mark.parametrize(
    "make",
    [EndToEndMemory, KeyValueMemory, partial(KeyValueMemory, variant="code")],
)
def test_a_memory_learns_to_find_a_slot_by_its_name_and_to_tell_what_it_holds(make: Any) -> None:
    torch.manual_seed(0)
    memory, tell = make(24, 24, hops=2), nn.Linear(24, 4)
    optimiser = torch.optim.Adam([*memory.parameters(), *tell.parameters()], 1e-2)
    keep, right = torch.ones(64, 6, dtype=torch.bool), []
    for _ in range(120):
        names, contents, asked = torch.randn(64, 6, 16), torch.randint(4, (64, 6)), torch.randint(6, (64, 1))
        slots = torch.cat([names, 2 * nn.functional.one_hot(contents, 8)], -1)
        query = nn.functional.pad(names.take_along_dim(asked.unsqueeze(-1), 1), (0, 8))
        answers = tell(query + memory(query, memory.prepare(slots, keep)).context).squeeze(1)
        truth = contents.take_along_dim(asked, 1).squeeze(1)
        optimiser.zero_grad()
        nn.functional.cross_entropy(answers, truth).backward()
        optimiser.step()
        right.append((answers.argmax(-1) == truth).float().mean().item())
    assert sum(right[-10:]) / 10 > 0.9  # by chance 0.25


@pytest.mark.parametrize("make", [StackedAttention, EndToEndMemory, KeyValueMemory])
def test_no_hop_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="at least one hop"):
        make(4, 4, hops=0)


def test_other_values_and_missing_places_are_refused() -> None:
    keys, keep = torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="use KeyValueMemory"):
        EndToEndMemory(4, 4).prepare(keys, keep, values=keys)
    with pytest.raises(ValueError, match="no place on a picture"):
        KeyValueMemory(4, 4, key="place").prepare(keys, keep)
