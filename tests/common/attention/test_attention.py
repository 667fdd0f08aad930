from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import (
    AdditiveScore,
    Attention,
    AttentionOutput,
    DotScore,
    Grid,
    GumbelStraightThrough,
    Hard,
    LocalMonotonic,
    LocalPredictive,
    LocationScore,
    Position,
    Score,
    Sigmoid,
    Soft,
)
from tests.common.attention import reference
from tests.common.attention.cases import (
    DISTRIBUTIONS,
    SCORES,
    VALUE_WIDTH,
    WIDTH,
    Problem,
    build_score,
    problems,
    quick,
)

# Every score with softmax, every other distribution with the additive score.
SOFT = [(score, "softmax") for score in SCORES] + [("additive", name) for name in DISTRIBUTIONS if name != "softmax"]
KINDS = [(*pair, "soft") for pair in SOFT] + [("additive", "softmax", "hard"), ("dot", "sparsemax", "hard")]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=" ".join)


def _build(kind: tuple[str, str, str]) -> Attention:
    score, distribution, position = kind
    return Attention(build_score(score), DISTRIBUTIONS[distribution](), Hard() if position == "hard" else Soft()).eval()


def _attend(attention: Attention, problem: Problem) -> AttentionOutput:
    return attention(problem.query, attention.prepare(problem.keys, problem.keep, problem.values))


def _assert_same(got: AttentionOutput, expected: AttentionOutput) -> None:
    torch.testing.assert_close(got.context, expected.context, rtol=0, atol=1e-10)
    torch.testing.assert_close(got.weights, expected.weights, rtol=0, atol=1e-10)


def _select(problem: Problem, examples: slice) -> Problem:
    return Problem(problem.query[examples], problem.keys[examples], problem.values[examples], problem.keep[examples])


# What holds for every kind of attention


@every_kind
@quick
@given(problem=problems())
def test_weights_sum_to_one_or_to_zero_where_nothing_is_valid(kind: tuple[str, str, str], problem: Problem) -> None:
    output = _attend(_build(kind), problem)
    assert (output.weights >= 0).all()
    assert not output.weights.masked_select(~problem.keep.unsqueeze(1)).any()
    if "sigmoid" not in kind:
        expected = problem.keep.any(-1, keepdim=True).double().expand(output.weights.shape[:2])
        torch.testing.assert_close(output.weights.sum(-1), expected, rtol=0, atol=1e-10)
    assert not output.context[~problem.keep.any(-1)].any()


@every_kind
@quick
@given(problem=problems(), padding=st.integers(1, 3), size=st.sampled_from([0.0, 1.0, 1e3]))
def test_padding_of_any_value_changes_nothing(
    kind: tuple[str, str, str], problem: Problem, padding: int, size: float
) -> None:
    attention = _build(kind)
    plain = _attend(attention, problem)
    batch, keys = problem.keep.shape
    generator = torch.Generator().manual_seed(0)

    def pad(tensor: Tensor) -> Tensor:
        rows = size * torch.randn(batch, padding, tensor.shape[-1], generator=generator, dtype=tensor.dtype)
        return torch.cat([tensor, rows], 1)

    keep = torch.cat([problem.keep, torch.zeros(batch, padding, dtype=torch.bool)], 1)
    padded = _attend(attention, Problem(problem.query, pad(problem.keys), pad(problem.values), keep))
    _assert_same(padded._replace(weights=padded.weights[..., :keys]), plain)
    assert not padded.weights[..., keys:].any()


@every_kind
@quick
@given(problem=problems(), seed=st.integers(0, 1000))
def test_permuting_the_keys_permutes_the_weights_and_keeps_the_context(
    kind: tuple[str, str, str], problem: Problem, seed: int
) -> None:
    attention = _build(kind)
    order = torch.randperm(problem.keep.shape[1], generator=torch.Generator().manual_seed(seed))
    permuted = Problem(problem.query, problem.keys[:, order], problem.values[:, order], problem.keep[:, order])
    plain = _attend(attention, problem)
    _assert_same(_attend(attention, permuted), plain._replace(weights=plain.weights[..., order]))


@every_kind
@quick
@given(problem=problems())
def test_a_single_valid_region_is_the_context(kind: tuple[str, str, str], problem: Problem) -> None:
    keep = torch.zeros_like(problem.keep)
    keep[:, 0] = True
    output = _attend(_build(kind), replace(problem, keep=keep))
    if "sigmoid" not in kind:
        torch.testing.assert_close(output.weights[..., 0], torch.ones_like(output.weights[..., 0]))
        torch.testing.assert_close(output.context, problem.values[:, :1].expand_as(output.context))


@every_kind
@quick
@given(problem=problems())
def test_identical_keys_get_equal_weights(kind: tuple[str, str, str], problem: Problem) -> None:
    weights = _attend(_build(kind), replace(problem, keys=problem.keys[:, :1].expand_as(problem.keys))).weights
    for row, keep in zip(weights, problem.keep, strict=True):
        valid = row[:, keep]
        expected = valid[:, :1] if "sigmoid" in kind else torch.tensor(1 / max(int(keep.sum()), 1)).double()
        torch.testing.assert_close(valid, expected.expand_as(valid), rtol=0, atol=1e-7)


@every_kind
@quick
@given(problem=problems())
def test_an_example_comes_out_the_same_alone_and_in_a_batch(kind: tuple[str, str, str], problem: Problem) -> None:
    attention = _build(kind)
    together = _attend(attention, problem)
    for index in range(len(problem.keep)):
        alone = slice(index, index + 1)
        expected = AttentionOutput(together.context[alone], together.weights[alone])
        _assert_same(_attend(attention, _select(problem, alone)), expected)


@every_kind
@quick
@given(problem=problems())
def test_a_query_comes_out_the_same_alone_and_among_others(kind: tuple[str, str, str], problem: Problem) -> None:
    attention = _build(kind)
    keys = attention.prepare(problem.keys, problem.keep, problem.values)
    together = attention(problem.query, keys)
    for index in range(problem.query.shape[1]):
        alone = slice(index, index + 1)
        expected = AttentionOutput(together.context[:, alone], together.weights[:, alone])
        _assert_same(attention(problem.query[:, alone], keys), expected)


@every_kind
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
@quick
@given(problem=problems())
def test_lower_precision_stays_finite_and_close(
    kind: tuple[str, str, str], dtype: torch.dtype, tolerance: float, problem: Problem
) -> None:
    attention = _build(kind)
    for parameter in attention.parameters():
        parameter.data.copy_(parameter.data.mul(0.5).to(dtype))  # the reference gets the rounded numbers
    problem = Problem(
        *((0.5 * tensor).to(dtype).double() for tensor in (problem.query, problem.keys, problem.values)), problem.keep
    )
    exact = _attend(attention, problem)
    low = Problem(problem.query.to(dtype), problem.keys.to(dtype), problem.values.to(dtype), problem.keep)
    rounded = _attend(attention.to(dtype), low)
    assert rounded.weights.dtype == torch.float32
    assert rounded.context.dtype == dtype
    assert rounded.weights.isfinite().all()
    assert rounded.context.isfinite().all()
    if "hard" not in kind:  # the likeliest of two nearly equal regions may change
        torch.testing.assert_close(rounded.weights.double(), exact.weights, rtol=0, atol=tolerance)
        torch.testing.assert_close(rounded.context.double(), exact.context, rtol=0, atol=5 * tolerance)


@pytest.mark.parametrize("kind", SOFT, ids=" ".join)
@quick
@given(problem=problems())
def test_context_and_weights_equal_the_loops_of_the_reference(kind: tuple[str, str], problem: Problem) -> None:
    attention = _build((*kind, "soft"))
    score, distribution = kind
    p = reference.parameters(attention.score)
    output = _attend(attention, problem)
    for b in range(len(problem.keep)):
        context, weights = reference.attention(
            lambda q, k: reference.ALIGNMENT[score](q, k, p),
            reference.DISTRIBUTION[distribution],
            *(tensor[b].numpy() for tensor in (problem.query, problem.keys, problem.values, problem.keep)),
        )
        np.testing.assert_allclose(output.context[b].detach().numpy(), context, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[b].detach().numpy(), weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", SOFT, ids=" ".join)
def test_gradients_are_right_with_a_mask_and_a_row_with_nothing_valid(kind: tuple[str, str]) -> None:
    attention = _build((*kind, "soft"))
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randn(3, size, width, generator=generator, dtype=torch.float64).requires_grad_()
        for size, width in ((2, WIDTH), (4, WIDTH), (4, VALUE_WIDTH))
    ]
    keep = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    assert gradcheck(lambda query, keys, values: _attend(attention, Problem(query, keys, values, keep)).context, inputs)
    _attend(attention, Problem(*inputs, keep)).context.sum().backward()
    for tensor in inputs:  # the feature score does not use the query
        assert tensor.grad is None or (tensor.grad.isfinite().all() and not tensor.grad[2].any())
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())


# What holds for some


@pytest.mark.parametrize("distribution", ["softmax", "sparsemax", "entmax15"])
@quick
@given(problem=problems())
def test_the_last_offset_of_a_score_is_a_no_op(distribution: str, problem: Problem) -> None:
    attention = _build(("deep", distribution, "soft"))
    plain = _attend(attention, problem)
    with torch.no_grad():
        attention.score.get_parameter("score.bias").add_(7.0)
    _assert_same(_attend(attention, problem), plain)


def test_soft_attention_with_softmax_is_the_default() -> None:
    problem = Problem(torch.ones(1, 1, 3), torch.eye(3).unsqueeze(0), torch.eye(3).unsqueeze(0), torch.ones(1, 3) > 0)
    torch.testing.assert_close(_attend(Attention(DotScore(3, 3)), problem).context, torch.full((1, 1, 3), 1 / 3))


def test_the_keys_are_the_values_where_none_are_given() -> None:
    attention, keys, keep = Attention(DotScore(3, 3)), torch.randn(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
    query = torch.randn(2, 1, 3)
    _assert_same(attention(query, attention.prepare(keys, keep)), attention(query, attention.prepare(keys, keep, keys)))


def test_the_keys_are_projected_once_however_many_steps_there_are() -> None:
    attention = Attention(AdditiveScore(3, 3, hidden_dim=5))
    calls: list[object] = []
    attention.score.get_submodule("map_key").register_forward_hook(lambda *_: calls.append(None))
    keys = attention.prepare(torch.randn(2, 4, 3), torch.ones(2, 4, dtype=torch.bool))
    for _ in range(3):
        attention(torch.randn(2, 1, 3), keys)
    assert len(calls) == 1


def test_the_gates_of_sigmoid_may_all_be_open() -> None:
    attention = Attention(DotScore(1, 1), Sigmoid())
    output = attention(torch.ones(1, 1, 1), attention.prepare(torch.full((1, 5, 1), 50.0), torch.ones(1, 5) > 0))
    torch.testing.assert_close(output.weights, torch.ones(1, 1, 5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_weights_stay_in_single_precision(dtype: torch.dtype) -> None:
    attention = Attention(AdditiveScore(3, 3, hidden_dim=5))
    query, keys = torch.randn(2, 1, 3, requires_grad=True), torch.randn(2, 4, 3)
    keep = torch.tensor([[True, True, False, True], [False, False, False, False]])
    with torch.autocast("cpu", dtype=dtype):
        output = attention(query, attention.prepare(keys, keep))
    assert output.weights.dtype == torch.float32
    output.context.float().sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert not query.grad[1].any()


def test_the_kind_is_told_in_words() -> None:
    assert Attention(DotScore(3, 3)).kind == "soft"
    assert Attention(DotScore(3, 3), position=Hard()).kind == "hard"


# Every combination of the three axes

POSITIONS: dict[str, Callable[[], Position]] = {
    "soft": Soft,
    "hard": lambda: Hard(expectation=0.5),
    "straight through": GumbelStraightThrough,
    "local monotonic": lambda: LocalMonotonic(window=1),
    "local predictive": lambda: LocalPredictive(WIDTH, hidden_dim=5, window=1),
}
ALL_SCORES: dict[str, Callable[[], Score]] = SCORES | {"location": lambda: LocationScore(WIDTH, positions=6)}
CHOOSING = ("hard", "straight through")


@pytest.mark.parametrize(("score", "distribution", "position"), [*product(ALL_SCORES, DISTRIBUTIONS, POSITIONS)])
def test_every_combination_attends_or_is_refused_with_a_reason(score: str, distribution: str, position: str) -> None:
    parts = ALL_SCORES[score](), DISTRIBUTIONS[distribution](), POSITIONS[position]()
    if position in CHOOSING and distribution == "sigmoid":
        with pytest.raises(ValueError, match="draws one position, but Sigmoid's gates are no distribution: take Soft"):
            Attention(*parts)
        return
    attention = Attention(*parts)
    keep = torch.tensor([[1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 4)
    for training, layout in ((True, Grid(2, 3, view)), (False, None)):
        query, keys = torch.randn(3, 2, WIDTH, requires_grad=True), torch.randn(3, 6, WIDTH, requires_grad=True)
        attention.train(training)
        output = attention(query, attention.prepare(keys, keep, layout=layout), 2)
        assert output.context.isfinite().all()
        assert ((output.weights >= 0) & (output.weights <= 1 + 1e-6)).all()
        assert not output.weights.masked_select(~keep.unsqueeze(1)).any()
        assert output.weights[:2].any()
        assert not output.context[2].any()
        (output.context.sum() + output.weights.square().sum()).backward()
        for leaf in (query, keys, *attention.parameters()):
            assert leaf.grad is None or leaf.grad.isfinite().all()
