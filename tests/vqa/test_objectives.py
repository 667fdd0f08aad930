from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vqa.objectives import AnswerObjective, LabelCrossEntropy, SoftCrossEntropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [1.0, 3.0, 0.0]])
TARGETS = torch.tensor([[1.0, 0.6, 0.0], [0.0, 0.0, 0.0], [0.0, 0.3, 0.9]])  # the second has no known answer


def log_softmax(row: int, column: int) -> float:
    logits: list[float] = LOGITS[row].tolist()
    return logits[column] - math.log(sum(map(math.exp, logits)))


def value(objective: AnswerObjective, targets: Tensor = TARGETS) -> float:
    terms = objective(LOGITS, targets)
    assert list(terms) == ["cross_entropy"]
    return terms["cross_entropy"].item()


def test_labels_are_the_best_answers_of_the_questions_that_have_one() -> None:
    assert value(LabelCrossEntropy()) == pytest.approx(-(log_softmax(0, 0) + log_softmax(2, 2)) / 2)


def test_label_smoothing_is_spread_over_all_answers() -> None:
    smooth = sum(log_softmax(row, column) for row in (0, 2) for column in range(3)) / 3
    plain = log_softmax(0, 0) + log_softmax(2, 2)
    assert value(LabelCrossEntropy(0.2)) == pytest.approx(-(0.8 * plain + 0.2 * smooth) / 2)


def test_soft_labels_are_the_scores_brought_to_a_sum_of_one() -> None:
    first = (log_softmax(0, 0) + 0.6 * log_softmax(0, 1)) / 1.6
    third = 0.25 * log_softmax(2, 1) + 0.75 * log_softmax(2, 2)
    assert value(SoftCrossEntropy()) == pytest.approx(-(first + third) / 2)


def test_with_one_right_answer_both_are_the_same() -> None:
    targets = torch.tensor([[0.0, 0.3, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert value(SoftCrossEntropy(), targets) == pytest.approx(value(LabelCrossEntropy(), targets))


@pytest.mark.parametrize("objective", [LabelCrossEntropy(), LabelCrossEntropy(0.1), SoftCrossEntropy()])
def test_a_batch_without_any_known_answer_costs_nothing_and_teaches_nothing(objective: AnswerObjective) -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = objective(logits, torch.zeros_like(TARGETS))["cross_entropy"]
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()
