from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import Entmax15, Softmax, Sparsemax
from tests.common.attention import reference
from tests.common.attention.cases import DISTRIBUTIONS, quick

SUM_TO_ONE = [name for name in DISTRIBUTIONS if name != "sigmoid"]


@st.composite
def rows(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits [B N], far apart and close together, and any mask."""
    batch, keys = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    size = batch * keys
    scale = draw(st.sampled_from([1e-3, 1.0, 100.0]))
    logits = draw(st.lists(st.floats(-1, 1, width=32), min_size=size, max_size=size))
    keep = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return scale * torch.tensor(logits, dtype=torch.float64).view(batch, keys), torch.tensor(keep).view(batch, keys)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@quick
@given(row=rows())
def test_weights_equal_the_reference_over_the_valid_positions(name: str, row: tuple[Tensor, Tensor]) -> None:
    logits, keep = row
    weights = DISTRIBUTIONS[name]()(logits, keep)
    for got, logit, valid in zip(weights.numpy(), logits.numpy(), keep.numpy(), strict=True):
        expected = reference.masked(reference.DISTRIBUTION[name], logit, valid)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@quick
@given(row=rows())
def test_weights_are_positive_and_zero_where_masked(name: str, row: tuple[Tensor, Tensor]) -> None:
    logits, keep = row
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        weights = DISTRIBUTIONS[name]()(logits.to(dtype), keep)
        assert (weights >= 0).all()
        assert not weights[~keep].any()
        if name in SUM_TO_ONE:
            torch.testing.assert_close(weights.sum(-1), keep.any(-1).to(weights.dtype), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SUM_TO_ONE)
@quick
@given(row=rows(), shift=st.floats(-1000, 1000))
def test_a_constant_shift_of_the_logits_changes_nothing(name: str, row: tuple[Tensor, Tensor], shift: float) -> None:
    logits, keep = row
    distribution = DISTRIBUTIONS[name]()
    torch.testing.assert_close(distribution(logits + shift, keep), distribution(logits, keep), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_mask_means_everything_is_valid(name: str) -> None:
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    distribution = DISTRIBUTIONS[name]()
    assert torch.equal(distribution(logits), distribution(logits, torch.ones(2, 5, dtype=torch.bool)))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_gradients_are_right_and_zero_in_rows_with_nothing_valid(name: str) -> None:
    distribution = DISTRIBUTIONS[name]()
    logits = torch.tensor([[0.3, -0.5, 0.8, 0.1], [1.3, 0.4, 2.0, 0.9], [0.2, 0.3, 0.4, 0.5]]).double().requires_grad_()
    keep = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    assert gradcheck(lambda x: distribution(x, keep), logits)
    (distribution(logits, keep) * torch.arange(4)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not logits.grad[2].any()
    assert logits.grad[0, 2] == 0
    assert logits.grad[:2].any()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_half_precision_logits_give_single_precision_weights(name: str) -> None:
    logits = torch.tensor([[0.5, -1.25, 2.0]])
    distribution = DISTRIBUTIONS[name]()
    for dtype in (torch.float16, torch.bfloat16):
        weights = distribution(logits.to(dtype))
        assert weights.dtype == torch.float32
        torch.testing.assert_close(weights, distribution(logits))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_largest_logits_of_a_type_give_finite_weights(name: str, dtype: torch.dtype) -> None:
    limit = torch.finfo(dtype)
    distribution = DISTRIBUTIONS[name]()
    logits = torch.tensor([[limit.max, 0.0, limit.min]], dtype=dtype)
    weights = distribution(logits, torch.tensor([[True, True, True]]))
    assert weights[0, 0] == 1
    assert weights[0, 2] == 0
    assert weights.isfinite().all()
    if name in SUM_TO_ONE:
        assert weights.tolist() == [[1, 0, 0]]
    assert not distribution(logits, torch.zeros(1, 3, dtype=torch.bool)).any()


def test_a_masked_logit_that_dominates_does_not_drown_the_others() -> None:
    weights = Softmax()(torch.tensor([200.0, 0.0, 1.0]), torch.tensor([False, True, True]))
    torch.testing.assert_close(weights, torch.tensor([0.0, 0.26894142, 0.73105858]))


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([0.0, 1.0, 3.0])
    torch.testing.assert_close(Softmax(temperature=2.0)(logits), Softmax()(logits / 2))
    assert Softmax(temperature=0.01)(logits)[2] == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be > 0"):
        Softmax(temperature)


def test_sparsity_grows_from_softmax_over_entmax_to_sparsemax() -> None:
    logits = torch.tensor([2.0, 1.2, 0.6, -1.5])
    support = [int((distribution(logits) > 0).sum()) for distribution in (Softmax(), Entmax15(), Sparsemax())]
    assert support == [4, 3, 2]


def test_sparsemax_by_hand() -> None:
    # support {2, 1.2}: tau = (3.2 - 1) / 2 = 1.1
    torch.testing.assert_close(Sparsemax()(torch.tensor([2.0, 1.2, 0.6])), torch.tensor([0.9, 0.1, 0.0]))


def test_entmax_has_a_gradient_where_the_logits_below_its_support_spread_by_exactly_one() -> None:
    logits = torch.tensor([0.0, 0.0, -2.0, -2.0]).requires_grad_()
    Entmax15()(logits)[0].backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([0.3536, -0.3536, 0.0, 0.0]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SUM_TO_ONE)
def test_equal_logits_give_uniform_weights_however_many_and_however_large(name: str) -> None:
    for value in (0.0, 1e4, -1e8):
        weights = DISTRIBUTIONS[name]()(torch.full((1, 2048), value))
        torch.testing.assert_close(weights, torch.full((1, 2048), 1 / 2048))
