"""DMN+ against its reference, and the order in which it reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from common.attention import Boxes, DynamicMemory, Grid
from common.attention.dynamic_memory import GRUEpisode, InputFusion, reading_order, snake_order
from common.attention.places import centre_sinusoids
from tests.common.attention import reference_memory
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import parameters


def _drawn(module: nn.Module) -> Any:
    torch.manual_seed(0)
    module.double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _grid(batch: int, height: int, width: int) -> Grid:
    return Grid(height, width, torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(batch, 4))


def test_a_snake_turns_at_the_end_of_each_row() -> None:
    assert snake_order(2, 3).tolist() == [0, 1, 2, 5, 4, 3]
    assert snake_order(3, 2).tolist() == [0, 1, 3, 2, 4, 5]


def test_invalid_regions_are_read_last() -> None:
    keep = torch.tensor([[1, 0, 1, 1, 0, 1], [0] * 6], dtype=torch.bool)
    assert reading_order(keep, _grid(2, 2, 3)).tolist() == [[0, 2, 5, 3, 1, 4], [0, 1, 2, 5, 4, 3]]
    assert reading_order(keep, Boxes(torch.zeros(2, 6, 4)))[0].tolist() == [0, 2, 3, 5, 1, 4]
    assert reading_order(keep, None)[0].tolist() == [0, 2, 3, 5, 1, 4]


@pytest.mark.parametrize("episode", ["gru", "soft"])
@quick
@given(problem=problems(), rows=st.sampled_from([None, 1, 2]))
def test_dynamic_memory_agrees_with_the_reference(episode: Any, problem: Problem, rows: int | None) -> None:
    mechanism = _drawn(DynamicMemory(WIDTH, WIDTH, hops=3, hidden_dim=5, episode=episode))
    batch, slots = problem.keep.shape
    layout = _grid(batch, rows, slots // rows) if rows and slots % rows == 0 else None
    order = snake_order(layout.height, layout.width).tolist() if layout else list(range(slots))
    output = mechanism(problem.query, mechanism.prepare(problem.keys, problem.keep, layout=layout))
    copied = parameters(mechanism)
    for b in range(batch):
        for q in range(problem.query.shape[1]):
            context, parts = reference_memory.dynamic_memory(
                copied,
                problem.query[b, q].numpy(),
                problem.keys[b].numpy(),
                problem.keep[b].numpy(),
                order,
                hops=3,
                episode=episode,
            )
            torch.testing.assert_close(output.context[b, q], torch.from_numpy(context), rtol=0, atol=1e-10)
            torch.testing.assert_close(output.parts[b, q], torch.from_numpy(parts), rtol=0, atol=1e-10)
    torch.testing.assert_close(output.weights, output.parts.mean(2))


@pytest.mark.parametrize("episode", ["gru", "soft"])
def test_a_mask_equals_a_shorter_sequence(episode: Any) -> None:
    mechanism = _drawn(DynamicMemory(4, 4, hidden_dim=5, episode=episode))
    query, keys = _normal(1, 2, 4), _normal(1, 6, 4, seed=1)
    keep = torch.tensor([[True, False, True, True, False, True]])
    got = mechanism(query, mechanism.prepare(keys, keep))
    expected = mechanism(query, mechanism.prepare(keys[keep].unsqueeze(0), torch.ones(1, 4, dtype=torch.bool)))
    torch.testing.assert_close(got.context, expected.context, rtol=0, atol=1e-12)
    torch.testing.assert_close(got.parts[..., keep[0]], expected.parts, rtol=0, atol=1e-12)


def test_fusion_is_a_bidirectional_gru_whose_directions_are_summed() -> None:
    fusion = _drawn(InputFusion(4))
    both = nn.GRU(4, 4, batch_first=True, bidirectional=True).double()
    state = {name: each.clone() for name, each in fusion.forwards.state_dict().items()}
    state |= {f"{name}_reverse": each.clone() for name, each in fusion.backwards.state_dict().items()}
    both.load_state_dict(state)
    regions = _normal(2, 5, 4)
    ahead, back = both(torch.tanh(fusion.embed(regions)))[0].chunk(2, -1)
    torch.testing.assert_close(fusion(regions, torch.ones(2, 5, dtype=torch.bool)), ahead + back)


def test_a_gate_of_one_takes_a_fact_and_a_gate_of_zero_leaves_the_state() -> None:
    episode = _drawn(GRUEpisode(4))
    facts = _normal(1, 5, 4)
    prepared = episode.prepare(facts)
    gates = torch.eye(5, dtype=torch.float64).unsqueeze(0)  # query q takes fact q alone
    candidate = torch.tanh(prepared[..., 4:])  # from the zero state
    torch.testing.assert_close(episode(gates, prepared), candidate, rtol=0, atol=1e-15)
    assert not episode(torch.zeros(1, 1, 5, dtype=torch.float64), prepared).any()


def test_the_attention_gru_hears_the_order_and_the_sum_does_not() -> None:
    episode = _drawn(GRUEpisode(4))
    facts, gates = _normal(1, 5, 4), torch.full((1, 1, 5), 0.2, dtype=torch.float64)
    assert not torch.allclose(episode(gates, episode.prepare(facts)), episode(gates, episode.prepare(facts.flip(1))))


def test_positions_are_added_once_the_facts_are_fused() -> None:
    mechanism = _drawn(DynamicMemory(4, 4, hidden_dim=5, positions=True))
    keys, keep, layout = _normal(1, 6, 4), torch.tensor([[True, False, True, True, True, True]]), _grid(1, 2, 3)
    got = mechanism.prepare(keys, keep, layout=layout)
    plain = mechanism.prepare(keys, keep)
    mechanism.positions = False
    fused = mechanism.prepare(keys, keep, layout=layout)
    read = torch.tensor([0, 2, 5, 4, 3])  # as a snake, without the invalid one
    torch.testing.assert_close(got.facts[:, :5], fused.facts[:, :5] + centre_sinusoids(layout, 4)[:, read])
    assert not got.facts[:, 5].any()
    torch.testing.assert_close(got.for_episode, mechanism.episode.prepare(got.facts))
    torch.testing.assert_close(plain.facts, mechanism.prepare(keys, keep).facts)  # words have no place


def test_other_values_and_no_hop_are_refused() -> None:
    keys, keep = torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="use KeyValueMemory"):
        DynamicMemory(4, 4, hidden_dim=5).prepare(keys, keep, values=keys)
    with pytest.raises(ValueError, match="at least one hop"):
        DynamicMemory(4, 4, hops=0)
