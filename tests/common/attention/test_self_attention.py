from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from common.attention import (
    AoARefiner,
    AttentionMechanism,
    Boxes,
    Grid,
    MultiHead,
    Refiner,
    SelfAttended,
    TransformerRefiner,
)
from common.attention.self_attention import attention_rollout
from common.training.parts import build
from tests.common.attention import reference_self_attention as reference
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import Array, Parameters, parameters

REFINERS = {
    "after": lambda: TransformerRefiner(WIDTH, layers=2, heads=WIDTH),
    "before": lambda: TransformerRefiner(WIDTH, layers=2, heads=WIDTH, norm="before"),
    "slots": lambda: TransformerRefiner(WIDTH, layers=2, heads=WIDTH, memory_slots=2),
    "gated": lambda: AoARefiner(WIDTH, layers=2, heads=WIDTH),
    "gated after": lambda: AoARefiner(WIDTH, layers=2, heads=WIDTH, norm="after"),
}


def _draw(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():  # offsets start at zero, where a mistake about them would not show
        nn.init.normal_(parameter)
    return module.double().eval()


def _refine(p: Parameters, kind: str, items: Array, keep: Array, prefix: str = "") -> tuple[Array, list[Array]]:
    looks = []
    for layer in range(2):
        name = f"{prefix}layers.{layer}"
        if kind.startswith("gated"):
            norm = "before" if kind == "gated" else "after"
            items, weights = reference.aoa_layer(p, name, items, keep, WIDTH, norm)
        else:
            norm = "before" if kind == "before" else "after"
            items, weights = reference.transformer_layer(p, name, items, keep, WIDTH, norm)
        looks.append(weights.mean(0))
    if kind in ("gated", "before"):
        items = np.array([reference.layer_norm(p, f"{prefix}norm", x) for x in items])
    return items, looks


@pytest.mark.parametrize("kind", REFINERS)
@quick
@given(problem=problems())
def test_refiners_agree_with_the_plain_reference(kind: str, problem: Problem) -> None:
    refiner = _draw(REFINERS[kind]())
    items, looks = refiner(problem.keys, problem.keep)
    p = parameters(refiner)
    for index, keep in enumerate(problem.keep.numpy()):
        expected, expected_looks = _refine(p, kind, problem.keys[index].numpy(), keep)
        np.testing.assert_allclose(items[index].detach(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(looks[index].detach(), np.array(expected_looks), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", REFINERS)
@quick
@given(problem=problems())
def test_the_look_and_the_look_carried_down_agree_with_the_plain_reference(kind: str, problem: Problem) -> None:
    mechanism = _draw(SelfAttended(WIDTH, WIDTH, MultiHead(WIDTH, WIDTH, heads=WIDTH), REFINERS[kind]()))
    output = mechanism(problem.query, mechanism.prepare(problem.keys, problem.keep))
    p = parameters(mechanism)
    for index, keep in enumerate(problem.keep.numpy()):
        refined, looks = _refine(p, kind, problem.keys[index].numpy(), keep, "refiner.")
        query = problem.query[index].numpy()
        context, heads = reference.multi_head(p, "attention.attention", query, refined, keep, WIDTH)
        weights = heads.mean(0)
        np.testing.assert_allclose(output.context[index].detach(), context, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[index].detach(), weights, rtol=0, atol=1e-10)
        both = np.stack([weights, weights @ reference.rollout(looks)], 1)
        np.testing.assert_allclose(output.parts[index].detach(), both, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", REFINERS)
def test_invalid_regions_are_seen_by_none_and_the_order_of_the_others_is_free(kind: str) -> None:
    refiner = _draw(REFINERS[kind]())
    items, keep = torch.randn(2, 5, WIDTH).double(), torch.tensor([[True] * 5, [True, True, False, True, False]])
    refined, looks = refiner(items, keep)
    other, _ = refiner(torch.where(keep.unsqueeze(-1), items, 1e3), keep)
    torch.testing.assert_close(other[keep], refined[keep])
    assert not looks[1, ..., ~keep[1]].any()
    order = torch.randperm(5)
    shuffled, shuffled_looks = refiner(items[:, order], keep[:, order])
    torch.testing.assert_close(shuffled, refined[:, order])
    torch.testing.assert_close(shuffled_looks, looks[:, :, order][..., order])


def test_slots_take_part_of_the_look_and_learn() -> None:
    refiner = TransformerRefiner(4, layers=2, heads=2, dropout=0.0, memory_slots=3)
    refined, looks = refiner(torch.randn(2, 5, 4), torch.tensor([[True] * 5, [False] * 5]))
    assert (looks[0].sum(-1) < 1).all()
    assert not looks[1].any()
    (refined * torch.randn_like(refined)).sum().backward()  # the sum itself is constant after a layer norm
    for name, parameter in refiner.named_parameters():
        if "memory" in name:
            assert parameter.grad.any(-1).all()


def test_rollout_of_looks_at_oneself_is_oneself_and_of_even_looks_is_half_even() -> None:
    own, even = torch.eye(3), torch.full((3, 3), 1 / 3)
    torch.testing.assert_close(attention_rollout(own.expand(1, 4, 3, 3)), own[None])
    torch.testing.assert_close(attention_rollout(even.expand(1, 1, 3, 3)), (even + own)[None] / 2)


def test_rollout_puts_the_later_layer_on_the_left() -> None:
    first, second = torch.rand(2, 4, 4).softmax(-1)
    half = torch.eye(4) / 2
    expected = (second / 2 + half) @ (first / 2 + half)
    torch.testing.assert_close(attention_rollout(torch.stack([first, second])[None])[0], expected)


@pytest.mark.parametrize("slots", [0, 2])
def test_rollout_sums_to_one_with_slots_too_and_stays_exact_under_autocast(slots: int) -> None:
    mechanism = SelfAttended(
        4, 4, MultiHead(4, 4, heads=2), TransformerRefiner(4, layers=3, heads=2, memory_slots=slots)
    ).eval()
    keep = torch.tensor([[True, True, False], [False] * 3])
    with torch.autocast("cpu", torch.bfloat16):
        keys = mechanism.prepare(torch.randn(2, 3, 4), keep)
        parts = mechanism(torch.randn(2, 1, 4), keys).parts
    assert parts.dtype == keys.origin.dtype == torch.float32
    torch.testing.assert_close(keys.origin.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(parts.sum(-1), keep.any(-1)[:, None, None].expand(2, 1, 2).float())
    assert not parts[..., 2].any()


def _grid(height: int, width: int) -> Grid:
    return Grid(height, width, torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.0, 1.5, 1.0]]).double())


def test_positions_tell_equal_regions_apart_on_grids_and_boxes_but_not_in_words() -> None:
    mechanism = SelfAttended(
        4, 4, MultiHead(4, 4, heads=2), TransformerRefiner(4, layers=1, heads=2), positions=True
    ).double()
    mechanism.eval()
    keys, keep = torch.ones(2, 6, 4).double(), torch.ones(2, 6, dtype=torch.bool)
    query = torch.randn(2, 1, 4).double()

    def look(layout: Grid | Boxes | None) -> Tensor:
        return mechanism(query, mechanism.prepare(keys, keep, layout=layout)).weights

    grid = _grid(2, 3)
    weights = look(grid)
    assert weights.unique().numel() == weights.numel()
    torch.testing.assert_close(look(Boxes(grid.rectangles())), weights)
    with pytest.raises(ValueError, match="words have none: leave positions off"):
        look(None)


def test_without_layers_there_is_no_refiner() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        AoARefiner(8, layers=0)


def test_a_config_names_refiner_and_attention() -> None:
    recipe = {
        "class_path": "common.attention.SelfAttended",
        "init_args": {
            "attention": {"class_path": "common.attention.MultiHead", "init_args": {"heads": 2}},
            "refiner": {"class_path": "common.attention.AoARefiner", "init_args": {"layers": 1, "heads": 3}},
        },
    }
    mechanism = build(recipe, AttentionMechanism, query_dim=5, key_dim=7)
    assert isinstance(mechanism, SelfAttended)
    assert isinstance(mechanism.refiner, Refiner)
    assert mechanism.kind == "multi-head after self-attention"
    keys = mechanism.prepare(torch.randn(2, 4, 7), torch.ones(2, 4, dtype=torch.bool))
    assert mechanism(torch.randn(2, 3, 5), keys).parts.shape == (2, 3, 2, 4)


def test_the_defaults_are_those_of_the_papers() -> None:
    mechanism = SelfAttended(5, 16)
    assert isinstance(mechanism.refiner, TransformerRefiner)
    assert len(mechanism.refiner.layers) == len(AoARefiner(16).layers) == 6
    assert mechanism.attention.attention.heads == 8
