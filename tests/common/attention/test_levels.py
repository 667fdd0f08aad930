from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import AttentionOutput, Boxes, FeatureScore, Grid, RecursiveEncoding, TwoLevel
from tests.common.attention import reference
from tests.common.attention.cases import quick
from tests.common.attention.reference_levels import grid_groups, two_level

# The recursive encoding


def _build(input_dim: int = 3, dims: tuple[int, ...] = (4, 5, 2), dropout: float = 0.0) -> RecursiveEncoding:
    torch.manual_seed(0)
    return RecursiveEncoding(input_dim, dims, dropout).double()


def _levels(count: int = 3, batch: int = 2, dim: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, dim, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("dims", [(4,), (4, 5), (4, 5, 2)])
def test_the_encoding_equals_the_recursion_of_the_reference(dims: tuple[int, ...]) -> None:
    module = _build(dims=dims)
    levels = _levels(len(dims))
    output = module(levels)
    assert output.shape == (2, dims[-1])
    p = reference.parameters(module)
    for index in range(2):
        expected = reference.recursive_encoding(p, [level[index].numpy() for level in levels])
        np.testing.assert_allclose(output[index].detach().numpy(), expected, rtol=0, atol=1e-10)


def test_every_level_matters_and_gradients_are_right() -> None:
    module = _build()
    levels = [level.requires_grad_() for level in _levels()]
    assert gradcheck(lambda *inputs: module(inputs), levels)
    module(levels).sum().backward()
    assert all(level.grad is not None and level.grad.any() for level in levels)


def test_dropout_is_on_in_training_and_off_at_inference() -> None:
    module = _build(dropout=0.5)
    assert not torch.equal(module(_levels()), module(_levels()))
    module.eval()
    torch.testing.assert_close(module(_levels()), _build()(_levels()))


def test_another_number_of_levels_is_refused() -> None:
    for count in (0, 2, 4):
        with pytest.raises(ValueError, match="zip"):
            _build()(_levels(count))


def test_no_levels_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        RecursiveEncoding(3, ())


# Two levels

Order = Literal["bottom-up", "top-down"]
every_order = pytest.mark.parametrize("order", ["bottom-up", "top-down"])


def _two_level(order: Order, patches: tuple[int, int] = (2, 2)) -> TwoLevel:
    torch.manual_seed(0)
    module = TwoLevel(3, 4, patches, order, hidden_dim=5).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _grid(height: int, width: int, view: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Grid:
    return Grid(height, width, torch.tensor([view], dtype=torch.float64))


def _attend(module: TwoLevel, keys: Tensor, keep: Tensor, layout: Grid | Boxes | None) -> AttentionOutput:
    return module(_draw(len(keys), 2, 3, seed=1), module.prepare(keys, keep, layout=layout))


def _assert_equals_the_reference(
    module: TwoLevel, keys: Tensor, keep: Tensor, layout: Grid | Boxes | None, numbers: list[int]
) -> None:
    output = _attend(module, keys, keep, layout)
    query, p = _draw(1, 2, 3, seed=1)[0], reference.parameters(module)
    groups = [number if valid else None for number, valid in zip(numbers, keep[0].tolist(), strict=True)]
    assert output.parts is not None
    for q in range(2):
        expected = two_level(p, query[q].numpy(), keys[0].numpy(), groups, module.top_down)
        for got, each in zip((output.context, output.weights, output.parts), expected, strict=True):
            np.testing.assert_allclose(got[0, q].detach().numpy(), each, rtol=0, atol=1e-10)


@every_order
@quick
@given(data=st.data(), sides=st.tuples(*[st.integers(1, 5)] * 2), patches=st.tuples(*[st.integers(1, 3)] * 2))
def test_two_levels_on_a_grid_equal_the_reference(
    order: Order, data: st.DataObject, sides: tuple[int, int], patches: tuple[int, int]
) -> None:
    cells = sides[0] * sides[1]
    keep = torch.tensor([data.draw(st.lists(st.booleans(), min_size=cells, max_size=cells))])
    module, layout = _two_level(order, patches), _grid(*sides, view=(-0.2, 0.1, 1.3, 0.9))
    _assert_equals_the_reference(module, _draw(1, cells, 4), keep, layout, grid_groups(*sides, *patches))


@every_order
def test_boxes_belong_to_the_patch_that_holds_their_centre(order: Order) -> None:
    corners = [
        [0.0, 0.0, 0.2, 0.2],
        [0.4, 0.0, 0.8, 0.9],
        [0.0, 0.5, 0.9, 1.0],
        [0.9, 0.9, 1.0, 1.0],
        [0.0, 0.8, 0.0, 0.9],
    ]
    layout = Boxes(torch.tensor([corners], dtype=torch.float64))
    keep = torch.tensor([[True, True, True, False, True]])
    _assert_equals_the_reference(_two_level(order), _draw(1, 5, 4), keep, layout, [0, 1, 2, 3, 2])


@every_order
def test_without_a_layout_the_valid_keys_are_cut_into_runs_that_padding_does_not_move(order: Order) -> None:
    module, keys = _two_level(order, (1, 2)), _draw(1, 8, 4)
    keep = torch.tensor([[True, True, False, True, True, True, False, False]])
    _assert_equals_the_reference(module, keys, keep, None, [0, 0, 9, 0, 1, 1, 9, 9])


@every_order
def test_an_empty_patch_has_weight_zero(order: Order) -> None:
    keep = torch.ones(1, 16, dtype=torch.bool)
    keep[0, [2, 3, 6, 7]] = False  # the patch at the top right
    output = _attend(_two_level(order), _draw(1, 16, 4), keep, _grid(4, 4))
    assert not output.weights[..., ~keep[0]].any()
    torch.testing.assert_close(output.weights.sum(-1), torch.ones(1, 2, dtype=torch.float64))


@every_order
def test_one_patch_alone_is_ordinary_attention(order: Order) -> None:
    module, keys = _two_level(order, (1, 1)), _draw(2, 6, 4)
    keep = torch.ones(2, 6, dtype=torch.bool)
    expected = module.within(_draw(2, 2, 3, seed=1), module.within.project(keys)).softmax(-1)
    torch.testing.assert_close(_attend(module, keys, keep, _grid(2, 3)).weights, expected)


def test_with_feature_scores_no_query_matters_as_in_the_paper() -> None:
    module = TwoLevel(3, 4, within=FeatureScore(4, 5), between=FeatureScore(4, 5)).double()
    weights = _attend(module, _draw(2, 6, 4), torch.ones(2, 6, dtype=torch.bool), _grid(2, 3)).weights
    torch.testing.assert_close(weights[:, 0], weights[:, 1])


def test_no_patches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of at least 1 each, got \(0, 2\)"):
        TwoLevel(3, 4, patches=(0, 2))
