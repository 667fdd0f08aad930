"""Straight-through Gumbel: the choice in the context, a soft sample in the gradient (see `test_positions.py`)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.attention import AttentionOutput, GumbelStraightThrough, Softmax

WEIGHTS = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03], dtype=torch.float64)
LOGITS = WEIGHTS.log()
LOSSES = torch.tensor([3.0, 1.0, 4.0, 1.5, 9.0], dtype=torch.float64)  # of the five choices


def _attend(
    position: GumbelStraightThrough, logits: Tensor, keep: Tensor | None = None, values: Tensor | None = None
) -> AttentionOutput:
    """Attention over values that are one-hot, so that the context tells what was chosen."""
    batch, _, keys = logits.shape
    values = torch.eye(keys, dtype=logits.dtype).expand(batch, keys, keys) if values is None else values
    keep = torch.ones(batch, keys, dtype=torch.bool) if keep is None else keep
    return position(logits, logits, values, keep, Softmax(), position.begin(keep))


@pytest.mark.parametrize(("temperature", "noise"), [(0.3, 1.0), (1.0, 1.0), (4.0, 1.0), (1.0, 0.3)])
def test_the_gradient_is_that_of_the_soft_sample(temperature: float, noise: float) -> None:
    logits = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    values = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 2, 4, dtype=torch.float64)
    position = GumbelStraightThrough(temperature, noise).train()
    torch.manual_seed(1)
    context = _attend(position, logits, values=values).context
    to_logits, to_values = torch.autograd.grad(context, (logits, values), upstream)
    torch.manual_seed(1)
    gumbel = -noise * torch.empty(3, 2, 5, dtype=torch.float64).exponential_().log()
    expected_to_values = torch.zeros(3, 5, 4, dtype=torch.float64)
    for b in range(3):
        for q in range(2):
            soft = ((logits[b, q] + gumbel[b, q]) / temperature).detach().exp()
            soft /= soft.sum()
            chosen = int(soft.argmax())
            assert torch.equal(context[b, q], values[b, chosen])
            expected_to_values[b, chosen] += upstream[b, q]
            gain = values[b].detach() @ upstream[b, q]  # [5], of each region
            for j in range(5):
                slope = sum(soft[i] * (float(i == j) - soft[j]) * gain[i] for i in range(5)) / temperature
                assert to_logits[b, q, j].item() == pytest.approx(float(slope), abs=1e-10)
    torch.testing.assert_close(to_values, expected_to_values)


def test_a_small_temperature_brings_the_mean_gradient_near_the_exact_one() -> None:
    torch.manual_seed(0)
    exact = WEIGHTS * (LOSSES.square() - WEIGHTS @ LOSSES.square())

    def bias(temperature: float) -> float:
        rows = LOGITS.expand(200_000, 1, 5).clone().requires_grad_()
        loss = (_attend(GumbelStraightThrough(temperature).train(), rows).context @ LOSSES).square().sum()
        (gradient,) = torch.autograd.grad(loss, rows)
        return float((gradient.mean((0, 1)) - exact).norm())

    assert bias(0.2) < bias(1.0) / 2


def test_it_needs_no_reinforce() -> None:
    output = _attend(GumbelStraightThrough().train(), LOGITS.expand(1, 1, 5))
    assert output.log_prob is None
    assert output.entropy is None
    torch.testing.assert_close(output.weights[0, 0], WEIGHTS)


@pytest.mark.parametrize("training", [True, False])
def test_a_picture_with_nothing_valid_gives_zeros_and_no_gradient(training: bool) -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    values = torch.randn(2, 4, 2, requires_grad=True)
    keep = torch.tensor([[False] * 4, [True, False, True, True]])
    output = _attend(GumbelStraightThrough().train(training), logits, keep, values)
    assert not output.context[0].any()
    assert not output.weights[0].any()
    to_logits, to_values = torch.autograd.grad(output.context.sum() + output.weights.square().sum(), (logits, values))
    for gradient in (to_logits, to_values):
        assert gradient.isfinite().all()
        assert not gradient[0].any()
    assert not to_logits[1, :, 1].any()
    assert not to_values[1, 1].any()


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_give_finite_gradients(dtype: torch.dtype, temperature: float) -> None:
    logits = torch.tensor([[[60000.0, 0.0, -60000.0]]], dtype=dtype, requires_grad=True)
    output = _attend(GumbelStraightThrough(temperature).train(), logits)
    assert output.context.tolist() == [[[1, 0, 0]]]
    output.context.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("inference", "expected"), [("argmax", torch.eye(5)[0].double()), ("expectation", WEIGHTS)])
def test_inference_draws_no_random_number(inference: str, expected: Tensor) -> None:
    position = GumbelStraightThrough(inference=inference).eval()  # type: ignore[arg-type]
    before = torch.get_rng_state()
    torch.testing.assert_close(_attend(position, LOGITS.expand(2, 3, 5)).context, expected.expand(2, 3, 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_noise_training_takes_the_likeliest_with_the_gradient_of_the_weights() -> None:
    logits = LOGITS.expand(2, 3, 5).clone().requires_grad_()
    context = _attend(GumbelStraightThrough(noise=0.0).train(), logits).context
    torch.testing.assert_close(context, torch.eye(5, dtype=torch.float64)[0].expand(2, 3, 5))
    (found,) = torch.autograd.grad((context @ LOSSES).sum(), logits)
    (expected,) = torch.autograd.grad((logits.softmax(-1) @ LOSSES).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_noise_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="noise must be >= 0, got -1"):
        GumbelStraightThrough(noise=-1)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be > 0"):
        GumbelStraightThrough(temperature)
