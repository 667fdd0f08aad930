from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vqa.objectives import (
    AnswerObjective,
    BinaryCrossEntropy,
    LabelCrossEntropy,
    SampledCrossEntropy,
    SoftCrossEntropy,
)

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [1.0, 3.0, 0.0]])
TARGETS = torch.tensor([[1.0, 0.6, 0.0], [0.0, 0.0, 0.0], [0.0, 0.3, 0.9]])  # the second has no known answer
VOTES = torch.tensor([[0.6, 0.2, 0.0], [0.0, 0.0, 0.0], [0.0, 0.1, 0.3]])


def log_softmax(row: int, column: int) -> float:
    logits: list[float] = LOGITS[row].tolist()
    return logits[column] - math.log(sum(map(math.exp, logits)))


def value(objective: AnswerObjective, targets: Tensor = TARGETS, votes: Tensor = VOTES) -> float:
    terms = objective(LOGITS, targets, votes)
    assert list(terms) == ["cross_entropy"]
    return terms["cross_entropy"].item()


def test_labels_are_the_most_common_answers_of_the_questions_that_have_one() -> None:
    assert value(LabelCrossEntropy(), torch.ones(3, 3)) == pytest.approx(-(log_softmax(0, 0) + log_softmax(2, 2)) / 2)


def test_label_smoothing_is_spread_over_all_answers() -> None:
    smooth = sum(log_softmax(row, column) for row in (0, 2) for column in range(3)) / 3
    plain = log_softmax(0, 0) + log_softmax(2, 2)
    assert value(LabelCrossEntropy(0.2)) == pytest.approx(-(0.8 * plain + 0.2 * smooth) / 2)


def test_soft_labels_are_the_scores_brought_to_a_sum_of_one() -> None:
    first = (log_softmax(0, 0) + 0.6 * log_softmax(0, 1)) / 1.6
    third = 0.25 * log_softmax(2, 1) + 0.75 * log_softmax(2, 2)
    assert value(SoftCrossEntropy()) == pytest.approx(-(first + third) / 2)


def test_soft_labels_can_be_the_votes_so_that_every_annotator_counts_alike() -> None:
    first = 0.75 * log_softmax(0, 0) + 0.25 * log_softmax(0, 1)
    third = 0.25 * log_softmax(2, 1) + 0.75 * log_softmax(2, 2)
    assert value(SoftCrossEntropy("votes")) == pytest.approx(-(first + third) / 2)
    assert value(SampledCrossEntropy().eval()) == pytest.approx(-(first + third) / 2)


def test_an_annotator_is_drawn_at_every_visit_by_the_votes() -> None:
    torch.manual_seed(0)
    drawn = torch.tensor([value(SampledCrossEntropy()) for _ in range(400)])
    # each of the two questions has two known answers
    possible = [-(log_softmax(0, a) + log_softmax(2, b)) / 2 for a in (0, 1) for b in (1, 2)]
    distance = (drawn.unsqueeze(1) - torch.tensor(possible)).abs()
    assert distance.amin(1).max() < 1e-5
    shares = torch.bincount(distance.argmin(1), minlength=4) / 400
    torch.testing.assert_close(
        shares, torch.tensor([0.75 * 0.25, 0.75 * 0.75, 0.25**2, 0.25 * 0.75]), atol=0.06, rtol=0
    )
    assert drawn.mean().item() == pytest.approx(value(SampledCrossEntropy().eval()), abs=0.1)


def binary(logit: float, score: float) -> float:
    right = 1 / (1 + math.exp(-logit))
    return -score * math.log(right) - (1 - score) * math.log(1 - right)


def test_binary_cross_entropy_is_summed_over_the_answers_of_every_question() -> None:
    pairs = zip(LOGITS.flatten().tolist(), TARGETS.flatten().tolist(), strict=True)
    total = sum(binary(logit, score) for logit, score in pairs)
    objectives = {3.0: BinaryCrossEntropy(), 1.0: BinaryCrossEntropy("sum")}
    for count, objective in objectives.items():
        terms = objective(LOGITS, TARGETS, VOTES)
        assert list(terms) == ["binary_cross_entropy"]
        assert terms["binary_cross_entropy"].item() == pytest.approx(total / count)
        assert objective.eval()(LOGITS, TARGETS, VOTES)["binary_cross_entropy"].item() == pytest.approx(total / 3)


@pytest.mark.parametrize("objective", [LabelCrossEntropy(), SoftCrossEntropy(), SampledCrossEntropy()])
def test_answers_compete_for_a_probability_of_one(objective: AnswerObjective) -> None:
    torch.testing.assert_close(objective.probabilities(LOGITS), LOGITS.softmax(-1))


def test_answers_of_binary_cross_entropy_have_each_a_probability_of_its_own() -> None:
    found = BinaryCrossEntropy().probabilities(torch.tensor([0.0, math.log(3)]))
    torch.testing.assert_close(found, torch.tensor([0.5, 0.75]))


def test_with_one_right_answer_all_are_the_same() -> None:
    targets = torch.tensor([[0.0, 0.3, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    expected = value(LabelCrossEntropy(), targets, targets)
    for objective in (SoftCrossEntropy(), SoftCrossEntropy("votes"), SampledCrossEntropy()):
        assert value(objective, targets, targets) == pytest.approx(expected)


@pytest.mark.parametrize(
    "objective", [LabelCrossEntropy(), LabelCrossEntropy(0.1), SoftCrossEntropy(), SampledCrossEntropy()]
)
def test_a_batch_without_any_known_answer_costs_nothing_and_teaches_nothing(objective: AnswerObjective) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = objective(logits, torch.zeros_like(TARGETS), torch.zeros_like(VOTES))["cross_entropy"]
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()
