from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from captioning.decoders import TeacherForced
from captioning.objectives import CrossEntropy, HardAttentionReinforce
from common.errors import ConfigError
from tests.captioning.objectives.cases import all_regions, given, given_to, valid

# Hard attention on a toy: one picture, two steps, three regions; which word follows depends on all choices so far.
STEPS, REGIONS, WORDS = 2, 3, 4
CHOICES = list(product(range(REGIONS), repeat=STEPS))


class Toy:
    """p(s_1), p(s_2 | s_1), p(y_1 | s_1) and p(y_2 | s_1, s_2), all free."""

    def __init__(self) -> None:
        self.first = torch.randn(REGIONS).double().requires_grad_()
        self.second = torch.randn(REGIONS, REGIONS).double().requires_grad_()
        self.words = torch.randn(STEPS, REGIONS, REGIONS, WORDS).double().requires_grad_()
        self.targets = torch.tensor([[[1, 3]]])
        self.keep = torch.ones(1, 1, STEPS, dtype=torch.bool)

    @property
    def parameters(self) -> list[Tensor]:
        return [self.first, self.second, self.words]

    def output(self, one: int, two: int) -> TeacherForced:
        """What a decoder returns when these regions were drawn."""
        logits = torch.stack([self.first, self.second[one]])  # [T R]
        log_weights = logits.log_softmax(-1)
        log_probs = torch.stack([self.words[0, one, 0], self.words[1, one, two]]).log_softmax(-1)
        entropy = -(log_weights.exp() * log_weights).sum(-1)
        chosen = torch.stack([log_weights[0, one], log_weights[1, two]])
        return TeacherForced(log_probs, log_weights.exp()[None, None], chosen[None, None], entropy[None, None])

    def probability(self, one: int, two: int) -> Tensor:
        output = self.output(one, two)
        assert output.attention_log_prob is not None
        return output.attention_log_prob.sum().exp()

    def likelihood(self, one: int, two: int) -> Tensor:
        """log p(y | s)."""
        return self.output(one, two).log_probs.gather(1, self.targets[0, 0].unsqueeze(1)).sum()


@pytest.mark.parametrize("baseline", [0.0, -3.0, 10.0])
def test_the_estimators_mean_over_all_choices_is_the_exact_gradient(baseline: float) -> None:
    toy = Toy()
    exact = sum(toy.probability(*s) * toy.likelihood(*s) for s in CHOICES) / STEPS
    expected = torch.autograd.grad(-torch.as_tensor(exact), toy.parameters)
    reinforce = HardAttentionReinforce(entropy_weight=0.0).eval()
    reinforce.baseline.fill_(baseline)
    reinforce.seen.fill_(True)
    estimate = torch.zeros(())
    for s in CHOICES:
        output = toy.output(*s)
        terms = reinforce(given_to(output, toy.targets, toy.keep, all_regions(1, REGIONS)))
        terms |= CrossEntropy()(given_to(output, toy.targets, toy.keep, all_regions(1, REGIONS)))
        estimate = estimate + toy.probability(*s).detach() * torch.stack(list(terms.values())).sum()
    for found, true in zip(torch.autograd.grad(estimate, toy.parameters), expected, strict=True):
        torch.testing.assert_close(found, true, rtol=0, atol=1e-12)


def test_entropy_is_rewarded_as_a_mean_over_valid_words() -> None:
    toy = Toy()
    output = toy.output(0, 1)
    assert output.entropy is not None
    objective = HardAttentionReinforce(weight=0.0, entropy_weight=0.1)
    one = objective(given_to(output, toy.targets, torch.tensor([[[True, False]]]), all_regions(1, 3)))
    assert one["attention_entropy"].item() == pytest.approx(-0.1 * output.entropy[0, 0, 0].item())
    both = objective(given_to(output, toy.targets, toy.keep, all_regions(1, 3)))
    assert both["attention_entropy"].item() == pytest.approx(-0.1 * output.entropy.mean().item())
    gradient = torch.autograd.grad(both["attention_entropy"], toy.first)[0]
    p, h = toy.first.softmax(0), output.entropy[0, 0, 0]
    torch.testing.assert_close(gradient, 0.1 / 2 * p * (p.log() + h))  # dH/de = -p (log p + H)


def certain(
    likelihoods: list[float], lengths: list[int], choices: float = -1.0
) -> tuple[TeacherForced, Tensor, Tensor]:
    """One picture's captions whose every word 0 has the caption's log-likelihood over its length."""
    keep = valid(lengths)
    rows = []
    for likelihood, length in zip(likelihoods, lengths, strict=True):
        p = math.exp(likelihood / length)
        rows += [[math.log(p), math.log(1 - p)]] * length
    log_prob = torch.full(keep.shape, choices)
    output = TeacherForced(torch.tensor(rows), torch.rand(*keep.shape, 3), log_prob, torch.zeros(keep.shape))
    return output, torch.zeros(keep.shape, dtype=torch.long), keep


def test_the_baseline_starts_at_the_first_batch_and_then_follows_slowly() -> None:
    objective = HardAttentionReinforce(decay=0.9)
    objective(given_to(*certain([-2.0, -4.0], [2, 3]), all_regions(1, 3)))
    assert objective.baseline.item() == pytest.approx(-3.0)
    terms = objective(given_to(*certain([-1.0], [2]), all_regions(1, 3)))
    assert terms["reinforce"].item() == pytest.approx(-(-1.0 - -3.0) * -2.0 / 2), "by the baseline of earlier batches"
    assert objective.baseline.item() == pytest.approx(0.9 * -3.0 + 0.1 * -1.0)
    objective.eval()
    objective(given_to(*certain([-9.0], [2]), all_regions(1, 3)))
    assert objective.baseline.item() == pytest.approx(-2.8), "evaluation leaves it alone"


def test_evaluation_before_training_leaves_no_trace() -> None:
    objective = HardAttentionReinforce().eval()
    terms = objective(given_to(*certain([-9.0], [2]), all_regions(1, 3)))
    assert terms["reinforce"].item() == pytest.approx(0, abs=1e-6)
    assert not objective.seen
    assert objective.baseline == 0


def test_the_mean_reward_does_not_grow_with_the_captions_length() -> None:
    for reward, expected in (("sum", -4.5), ("mean", -1.5)):
        objective = HardAttentionReinforce(reward=reward)  # type: ignore[arg-type]
        objective(given_to(*certain([-3.0, -6.0], [2, 4]), all_regions(1, 3)))
        assert objective.baseline.item() == pytest.approx(expected)


def test_captions_that_are_not_there_move_neither_loss_nor_baseline() -> None:
    losses = []
    for likelihoods, lengths in (([-3.0, -6.0], [2, 4]), ([-3.0, -6.0, -1.0], [2, 4, 0])):
        output, targets, keep = certain(likelihoods[:2], lengths[:2])
        if len(lengths) > 2:
            padding = torch.zeros(1, 1, 4)
            output = output._replace(
                weights=torch.rand(1, 3, 4, 3),
                attention_log_prob=torch.cat([torch.full((1, 2, 4), -1.0), padding - 5], 1),
                entropy=torch.cat([torch.zeros(1, 2, 4), padding + 5], 1),
            )
            targets, keep = torch.cat([targets, padding.long()], 1), torch.cat([keep, padding.bool()], 1)
        objective = HardAttentionReinforce()
        objective.baseline.fill_(-1.0)
        objective.seen.fill_(True)
        terms = objective(given_to(output, targets, keep, all_regions(1, 3)))
        losses.append((terms["reinforce"].item(), terms["attention_entropy"].item(), objective.baseline.item()))
    assert losses[0] == pytest.approx(losses[1])


def test_soft_attention_is_refused_in_one_line() -> None:
    keep = valid([3])
    output, targets = given(keep)
    with pytest.raises(ConfigError, match=r"^HardAttentionReinforce is for hard attention: [^\n]*Hard$"):
        HardAttentionReinforce()(given_to(output, targets, keep, all_regions(1)))
