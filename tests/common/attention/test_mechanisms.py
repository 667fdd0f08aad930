"""The invariants of every attention mechanism (see `kinds.py`), over sizes, masks and precisions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import AttentionMechanism, AttentionOutput, Grid
from tests.common.attention.cases import quick
from tests.common.attention.kinds import KEY, MECHANISMS, QUERY, build_kind

every_kind = pytest.mark.parametrize("kind", MECHANISMS)
Case = tuple[Tensor, Tensor, Tensor, Grid]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _grid(batch: int, height: int, width: int) -> Grid:
    return Grid(height, width, torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64).expand(batch, 4))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Queries [B Q QUERY], keys [B N KEY] on a grid of N cells, and any mask, fully masked rows among them."""
    batch, queries, height, width = (draw(st.integers(1, most)) for most in (3, 3, 2, 3))
    seed, cells = draw(st.integers(0, 2**31)), height * width
    keep = draw(st.lists(st.lists(st.booleans(), min_size=cells, max_size=cells), min_size=batch, max_size=batch))
    return (
        _draw(batch, queries, QUERY, seed=seed),
        _draw(batch, cells, KEY, seed=seed + 1),
        torch.tensor(keep),
        _grid(batch, height, width),
    )


def _attend(
    mechanism: AttentionMechanism[Any], query: Tensor, keys: Tensor, keep: Tensor, grid: Grid
) -> AttentionOutput:
    return mechanism(query, mechanism.prepare(keys, keep, layout=grid))


def _assert_same(got: AttentionOutput, expected: AttentionOutput) -> None:
    for name in ("context", "weights", "parts"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=0, atol=1e-10)


@every_kind
@quick
@given(case=cases())
def test_shapes_and_parts_are_as_told(kind: str, case: Case) -> None:
    mechanism, (query, keys, _, _) = build_kind(kind), case
    output = _attend(mechanism, *case)
    assert output.context.shape == (*query.shape[:2], KEY)
    assert output.weights.shape == (*query.shape[:2], keys.shape[1])
    assert mechanism.kind
    if mechanism.part_axis is None:
        assert output.parts is None
    else:
        assert output.parts is not None
        assert (*output.parts.shape[:2], output.parts.shape[3]) == output.weights.shape


@every_kind
@quick
@given(case=cases())
def test_weights_sum_to_one_and_are_zero_where_nothing_is_valid(kind: str, case: Case) -> None:
    keep = case[2]
    output = _attend(build_kind(kind), *case)
    looks = [("sum", output.weights)]
    looks += [("parts sum", part) for part in (() if output.parts is None else output.parts.unbind(2))]
    for name, weights in looks:
        assert (weights >= 0).all()
        assert not weights.masked_select(~keep.unsqueeze(1)).any()
        if not MECHANISMS[kind].exempt & {"sum", name}:
            expected = keep.any(-1, keepdim=True).double().expand(weights.shape[:2])
            torch.testing.assert_close(weights.sum(-1), expected, rtol=0, atol=1e-10)
    assert output.context.isfinite().all()


@every_kind
@quick
@given(case=cases(), size=st.sampled_from([0.0, 1.0, 1e3]))
def test_what_stands_at_invalid_regions_changes_nothing(kind: str, case: Case, size: float) -> None:
    mechanism, (query, keys, keep, grid) = build_kind(kind), case
    other = torch.where(keep.unsqueeze(-1), keys, size * _draw(*keys.shape, seed=0))
    _assert_same(_attend(mechanism, query, other, keep, grid), _attend(mechanism, query, keys, keep, grid))


@every_kind
@quick
@given(case=cases(), seed=st.integers(0, 1000))
def test_permuting_the_regions_permutes_the_weights_and_keeps_the_context(kind: str, case: Case, seed: int) -> None:
    if "permutation" in MECHANISMS[kind].exempt:
        return
    mechanism, (query, keys, keep, grid) = build_kind(kind), case
    order = torch.randperm(keys.shape[1], generator=torch.Generator().manual_seed(seed))
    plain = _attend(mechanism, *case)
    parts = None if plain.parts is None else plain.parts[..., order]
    permuted = _attend(mechanism, query, keys[:, order], keep[:, order], grid)
    _assert_same(permuted, plain._replace(weights=plain.weights[..., order], parts=parts))


@every_kind
@quick
@given(case=cases())
def test_a_single_valid_region_is_the_context(kind: str, case: Case) -> None:
    if "single" in MECHANISMS[kind].exempt:
        return
    query, keys, keep, grid = case
    only = torch.zeros_like(keep)
    only[:, 0] = True
    output = _attend(build_kind(kind), query, keys, only, grid)
    torch.testing.assert_close(output.weights[..., 0], torch.ones_like(output.weights[..., 0]))
    torch.testing.assert_close(output.context, keys[:, :1].expand_as(output.context))


@every_kind
@quick
@given(case=cases())
def test_identical_keys_get_equal_weights(kind: str, case: Case) -> None:
    if "uniform" in MECHANISMS[kind].exempt:
        return
    query, keys, keep, grid = case
    weights = _attend(build_kind(kind), query, keys[:, :1].expand_as(keys), keep, grid).weights
    expected = keep.double() / keep.sum(-1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(weights, expected.unsqueeze(1).expand_as(weights), rtol=0, atol=1e-7)


@every_kind
@quick
@given(case=cases())
def test_an_example_comes_out_the_same_alone_and_in_a_batch(kind: str, case: Case) -> None:
    mechanism, (query, keys, keep, grid) = build_kind(kind), case
    together = _attend(mechanism, *case)
    for index in range(len(keep)):
        one = slice(index, index + 1)
        alone = _attend(mechanism, query[one], keys[one], keep[one], _grid(1, grid.height, grid.width))
        parts = None if together.parts is None else together.parts[one]
        _assert_same(
            alone, together._replace(context=together.context[one], weights=together.weights[one], parts=parts)
        )


@every_kind
@quick
@given(case=cases())
def test_queries_do_not_see_each_other_and_evaluation_repeats_itself(kind: str, case: Case) -> None:
    mechanism, (query, keys, keep, grid) = build_kind(kind), case
    together = _attend(mechanism, *case)
    first = _attend(mechanism, query[:, :1], keys, keep, grid)
    parts = None if together.parts is None else together.parts[:, :1]
    _assert_same(
        first, together._replace(context=together.context[:, :1], weights=together.weights[:, :1], parts=parts)
    )


@every_kind
def test_gradients_are_right_with_a_mask_and_an_example_with_nothing_valid(kind: str) -> None:
    mechanism = build_kind(kind)
    query, keys = _draw(3, 2, QUERY, seed=1).requires_grad_(), _draw(3, 4, KEY, seed=2).requires_grad_()
    keep = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    assert gradcheck(lambda q, k: _attend(mechanism, q, k, keep, _grid(3, 2, 2)).context, (query, keys))
    output = _attend(mechanism, query, keys, keep, _grid(3, 2, 2))
    output.context.sum().backward()
    assert keys.grad is not None
    assert keys.grad.isfinite().all()
    assert not keys.grad[~keep].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in mechanism.parameters())


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@quick
@given(case=cases())
def test_low_precision_is_finite_and_close_to_double(kind: str, dtype: torch.dtype, case: Case) -> None:
    query, keys, keep, grid = case
    mechanism = build_kind(kind).to(dtype)
    exact_mechanism = build_kind(kind).to(dtype).double()
    exact = _attend(exact_mechanism, query.to(dtype).double(), keys.to(dtype).double(), keep, grid)
    low = _attend(mechanism, query.to(dtype), keys.to(dtype), keep, grid)
    assert low.weights.dtype == torch.float32
    assert low.weights.isfinite().all()
    assert low.context.isfinite().all()
    if "close" not in MECHANISMS[kind].exempt:
        tolerance = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 5e-2}[dtype]
        torch.testing.assert_close(low.weights.double(), exact.weights, rtol=0, atol=tolerance)
        torch.testing.assert_close(low.context.double(), exact.context, rtol=5 * tolerance, atol=5 * tolerance)


@every_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_weights_in_single_precision(kind: str, dtype: torch.dtype) -> None:
    mechanism = build_kind(kind).float()
    query, keys = _draw(2, 2, QUERY, seed=1).float(), _draw(2, 6, KEY, seed=2).float()
    keep = torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    with torch.autocast("cpu", dtype=dtype):
        output = _attend(mechanism, query, keys, keep, _grid(2, 2, 3))
    assert output.weights.dtype == torch.float32
    assert output.parts is None or output.parts.dtype == torch.float32
    assert output.context.isfinite().all()
