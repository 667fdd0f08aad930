from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.attention import AttentionOutput, Distribution, GumbelStraightThrough, Hard, Position, Softmax, Sparsemax

WEIGHTS = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03], dtype=torch.float64)
LOGITS = WEIGHTS.log()
# The chi-square quantiles at 0.9999 for 4 and 3 degrees of freedom
CHI_SQUARE_4, CHI_SQUARE_3 = 23.51, 21.11


def _attend(
    position: Position,
    logits: Tensor,
    keep: Tensor | None = None,
    values: Tensor | None = None,
    distribution: Distribution | None = None,
) -> AttentionOutput:
    """Attention over values that are one-hot, so that the context tells what was chosen."""
    batch, _, keys = logits.shape
    values = torch.eye(keys, dtype=logits.dtype).expand(batch, keys, keys) if values is None else values
    keep = torch.ones(batch, keys, dtype=torch.bool) if keep is None else keep
    return position(logits, logits, values, keep, distribution or Softmax(), position.begin(keep))


def _sampler() -> Hard:
    return Hard(expectation=0.0).train()


# The choice


every_sampler = pytest.mark.parametrize(
    "sampler",
    [Hard(expectation=0.0), GumbelStraightThrough(), GumbelStraightThrough(0.1), GumbelStraightThrough(5.0)],
    ids=["hard", "straight through", "cold", "warm"],
)


@every_sampler
def test_regions_are_chosen_as_often_as_the_weights_say(sampler: Position) -> None:
    torch.manual_seed(0)
    draws = 20_000
    counts = _attend(sampler.train(), LOGITS.expand(draws // 4, 4, 5)).context.sum((0, 1))
    assert ((counts - draws * WEIGHTS).square() / (draws * WEIGHTS)).sum() < CHI_SQUARE_4


@every_sampler
def test_masked_regions_are_never_chosen_and_the_others_share_their_weight(sampler: Position) -> None:
    torch.manual_seed(0)
    draws = 20_000
    keep = torch.tensor([False, True, True, True, True]).expand(draws, 5)
    counts = _attend(sampler.train(), LOGITS.expand(draws, 1, 5), keep).context.sum((0, 1))
    assert counts[0] == 0
    assert counts.sum() == draws  # a choice of the masked region would leave a zero context
    expected = draws * WEIGHTS[1:] / WEIGHTS[1:].sum()
    assert ((counts[1:] - expected).square() / expected).sum() < CHI_SQUARE_3


@every_sampler
def test_a_region_of_weight_zero_is_never_chosen(sampler: Position) -> None:
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.8, 0.5, -1.0]).expand(5000, 1, 4).clone().requires_grad_()
    output = _attend(sampler.train(), logits, distribution=Sparsemax())
    assert torch.equal(output.weights[0, 0] > 0, torch.tensor([True, True, True, False]))
    counts = output.context.sum((0, 1))
    assert torch.equal(counts > 0, torch.tensor([True, True, True, False]))
    (output.context @ torch.arange(4.0)).sum().backward()
    assert logits.grad is None or (logits.grad.isfinite().all() and not logits.grad[..., 3].any())


@every_sampler
def test_each_example_and_each_query_draws_for_itself(sampler: Position) -> None:
    torch.manual_seed(0)
    context = _attend(sampler.train(), torch.zeros(200, 3, 5, dtype=torch.float64)).context
    choice = context.argmax(-1)  # [200 3]
    assert len(choice[:, 0].unique()) == 5
    for first, second in ((0, 1), (1, 2)):
        assert 0.1 < (choice[:, first] == choice[:, second]).double().mean() < 0.3  # a fifth agree by chance


def test_the_context_is_the_value_of_the_region_chosen() -> None:
    torch.manual_seed(0)
    values = torch.randn(50, 4, 3, dtype=torch.float64)
    output = _attend(_sampler(), torch.zeros(50, 2, 4, dtype=torch.float64), values=values)
    distance = (output.context.unsqueeze(2) - values.unsqueeze(1)).abs().sum(-1)  # [50 2 4]
    assert (distance.min(-1).values == 0).all()


def test_log_prob_and_entropy_are_those_of_the_weights() -> None:
    torch.manual_seed(0)
    keep = torch.tensor([True, True, False, True, True]).expand(30, 5)
    output = _attend(_sampler(), torch.randn(30, 2, 5, dtype=torch.float64), keep)
    assert output.log_prob is not None
    assert output.entropy is not None
    torch.testing.assert_close(output.log_prob, (output.weights * output.context).sum(-1).log())
    valid = output.weights[..., keep[0]]
    torch.testing.assert_close(output.entropy, -(valid * valid.log()).sum(-1))


@pytest.mark.parametrize("training", [True, False])
def test_a_picture_with_nothing_valid_gives_zeros_and_no_gradient(training: bool) -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    values = torch.randn(2, 4, 2, requires_grad=True)
    keep = torch.tensor([[False] * 4, [True] * 4])
    for expectation in (0.0, 1.0):
        output = _attend(Hard(expectation).train(training), logits, keep, values)
        assert output.log_prob is not None
        assert output.entropy is not None
        for tensor in (output.context, output.weights, output.log_prob, output.entropy):
            assert not tensor[0].any()
        total = output.context.sum() + output.log_prob.sum() + output.entropy.sum()
        for gradient in torch.autograd.grad(total, (logits, values)):
            assert gradient.isfinite().all()
            assert not gradient[0].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_give_finite_log_probs_and_gradients(dtype: torch.dtype) -> None:
    logits = torch.tensor([[[60000.0, 0.0, -60000.0]]], dtype=dtype, requires_grad=True)
    output = _attend(_sampler(), logits)
    assert output.log_prob is not None
    assert output.entropy is not None
    assert output.context.tolist() == [[[1, 0, 0]]]
    assert output.log_prob.item() == 0
    assert output.entropy.item() == 0
    (output.log_prob + output.entropy).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_no_gradient_reaches_the_logits_through_the_choice() -> None:
    logits = torch.randn(4, 2, 5, dtype=torch.float64, requires_grad=True)
    values = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    context = _attend(_sampler(), logits, values=values).context
    to_logits, to_values = torch.autograd.grad(context.sum(), (logits, values), allow_unused=True)
    assert to_logits is None or not to_logits.any()
    assert to_values.sum() == 4 * 2 * 3


# The expectation that may take the choice's place


def test_the_coin_falls_once_per_picture_with_the_given_probability() -> None:
    torch.manual_seed(0)
    heads = Hard(expectation=0.3).train().begin(torch.ones(10_000, 4, dtype=torch.bool))
    assert heads.shape == (10_000, 1)
    assert abs(heads.double().mean() - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5


def test_all_steps_of_a_picture_share_its_coin() -> None:
    torch.manual_seed(0)
    position, keep = Hard(expectation=0.5).train(), torch.ones(40, 5, dtype=torch.bool)
    values = torch.eye(5, dtype=torch.float64).expand(40, 5, 5)
    coin = position.begin(keep)
    for _ in range(5):
        output = position(LOGITS.expand(40, 3, 5), LOGITS.expand(40, 3, 5), values, keep, Softmax(), coin)
        assert output.log_prob is not None
        expected = (output.context == output.weights).all(-1)  # [40 3]
        assert torch.equal(expected, coin.expand(40, 3))
        assert torch.equal(output.log_prob == 0, coin.expand(40, 3))
    assert 5 < coin.sum() < 35


@pytest.mark.parametrize("expectation", [-0.1, 1.1, float("nan")])
def test_an_expectation_that_is_no_probability_is_refused(expectation: float) -> None:
    with pytest.raises(ValueError, match="expectation is a probability"):
        Hard(expectation)


# Inference


@pytest.mark.parametrize(("inference", "expected"), [("argmax", torch.eye(5)[0].double()), ("expectation", WEIGHTS)])
def test_inference_is_deterministic_and_draws_no_random_number(inference: str, expected: Tensor) -> None:
    position = Hard(expectation=0.5, inference=inference).eval()  # type: ignore[arg-type]
    before = torch.get_rng_state()
    for _ in range(3):
        torch.testing.assert_close(_attend(position, LOGITS.expand(2, 3, 5)).context, expected.expand(2, 3, 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_inference_by_sampling_draws_at_every_step() -> None:
    torch.manual_seed(0)
    context = _attend(Hard(inference="sample").eval(), torch.zeros(100, 1, 5)).context
    assert ((context == 0) | (context == 1)).all()
    assert len(context.argmax(-1).unique()) == 5


# REINFORCE: what log_prob and entropy are for. The losses l(z) of the five choices, and J = sum_s alpha_s l_s.

LOSSES = torch.tensor([3.0, 1.0, 4.0, 1.5, 9.0], dtype=torch.float64)


def _estimates(loss: Callable[[Tensor], Tensor], baseline: float) -> tuple[Tensor, Tensor]:
    """The gradients [5 5] of the estimator's five outcomes with respect to the logits, and their probabilities [5].

    The same picture is drawn until every choice has come up; each choice's estimate is then taken once.
    """
    torch.manual_seed(0)
    logits = LOGITS.clone().requires_grad_()
    output = _attend(_sampler(), logits.expand(1000, 1, 5))
    assert output.log_prob is not None
    choice = output.context.argmax(-1).squeeze(1)  # [1000]
    estimates = []
    for region in range(5):
        example = int((choice == region).nonzero()[0])
        advantage = (loss(output.context[example, 0]) - baseline).detach()
        objective = loss(output.context[example, 0]) + advantage * output.log_prob[example, 0]
        estimates.append(torch.autograd.grad(objective, logits, retain_graph=True)[0])
    return torch.stack(estimates), WEIGHTS


def _linear_loss(context: Tensor) -> Tensor:
    return context @ LOSSES


@pytest.mark.parametrize("baseline", [0.0, -2.0, 2.85, 10.0])
def test_the_mean_of_the_estimator_is_the_exact_gradient_whatever_the_baseline(baseline: float) -> None:
    logits = LOGITS.clone().requires_grad_()
    (exact,) = torch.autograd.grad(logits.softmax(-1) @ LOSSES, logits)
    estimates, probabilities = _estimates(_linear_loss, baseline)
    torch.testing.assert_close(probabilities @ estimates, exact, rtol=0, atol=1e-12)
    by_hand = (LOSSES - baseline).unsqueeze(1) * (torch.eye(5) - WEIGHTS)  # (l_s - b)(1[s = j] - alpha_j)
    torch.testing.assert_close(estimates, by_hand, rtol=0, atol=1e-12)


def test_over_sparse_weights_too_the_mean_of_the_estimator_is_the_exact_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.8, 0.5, -1.0], dtype=torch.float64, requires_grad=True)
    weights, losses = Sparsemax()(logits), LOSSES[:4]
    (exact,) = torch.autograd.grad(weights @ losses, logits, retain_graph=True)
    output = _attend(_sampler(), logits.expand(1000, 1, 4), distribution=Sparsemax())
    assert output.log_prob is not None
    mean = torch.zeros(4, dtype=torch.float64)
    for region in range(3):  # the last has weight zero
        example = int((output.context[:, 0, region] == 1).nonzero()[0])
        (score,) = torch.autograd.grad(output.log_prob[example, 0], logits, retain_graph=True)
        mean += weights[region].detach() * (losses[region] - 2.0) * score
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-12)


def test_a_baseline_near_the_mean_loss_lowers_the_variance() -> None:
    def variance(baseline: float) -> float:
        estimates, probabilities = _estimates(lambda context: _linear_loss(context) + 100, baseline)
        mean = probabilities @ estimates
        return float(probabilities @ (estimates - mean).square().sum(-1))

    assert variance(100 + float(WEIGHTS @ LOSSES)) < variance(0.0) / 100


def test_the_entropy_pulls_towards_the_uniform_distribution() -> None:
    logits = LOGITS.clone().requires_grad_()
    output = _attend(_sampler(), logits.expand(1, 1, 5))
    assert output.entropy is not None
    (gradient,) = torch.autograd.grad(output.entropy.sum(), logits)
    entropy = -(WEIGHTS @ LOGITS)
    torch.testing.assert_close(gradient, -WEIGHTS * (LOGITS + entropy), rtol=0, atol=1e-12)


def test_with_the_coin_the_mean_is_the_mixture_of_soft_and_hard_gradients() -> None:
    def loss(context: Tensor) -> Tensor:  # not linear, so that the loss of the mean is not the mean of the losses
        return (context @ LOSSES).square()

    chance, bonus, keep = 0.3, 0.02, torch.ones(1, 5, dtype=torch.bool)
    logits = LOGITS.clone().requires_grad_()
    one_hot, coin = torch.eye(5, dtype=torch.float64).unsqueeze(0), torch.tensor([[True]])
    rows = logits.expand(1, 1, 5)
    heads = Hard(chance).train()(rows, rows, one_hot, keep, Softmax(), coin)
    assert heads.entropy is not None
    assert heads.log_prob is not None
    soft_objective = loss(heads.context[0, 0]) + 5.0 * heads.log_prob.sum() - bonus * heads.entropy.sum()
    (soft_estimate,) = torch.autograd.grad(soft_objective, logits)
    estimates, probabilities = _estimates(loss, baseline=1.0)

    alpha = logits.softmax(-1)
    entropy = -(alpha * alpha.log()).sum()
    mixture = chance * loss(alpha) + (1 - chance) * alpha @ LOSSES.square() - bonus * entropy
    (expected,) = torch.autograd.grad(mixture, logits, retain_graph=True)
    (entropy_gradient,) = torch.autograd.grad(entropy, logits)
    mean = chance * soft_estimate + (1 - chance) * (probabilities @ estimates - bonus * entropy_gradient)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-12)
