from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.errors import DataError
from vqa.objectives import AnswerObjective, BinaryCrossEntropy, LabelCrossEntropy, SoftCrossEntropy
from vqa.temperature import COLDEST, HOTTEST, fit_temperature


def loss_on(targets: Tensor, objective: AnswerObjective) -> Callable[[Tensor], Tensor]:
    return lambda logits: torch.stack(list(objective(logits, targets, targets).values())).sum()


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_that_logits_were_heated_by_is_found(true: float) -> None:
    calm = 2 * torch.randn(20000, 5)
    labels = torch.eye(5)[torch.distributions.Categorical(logits=calm).sample()]
    assert fit_temperature(true * calm, loss_on(labels, LabelCrossEntropy())) == pytest.approx(true, rel=0.05)
    each = (torch.rand(20000, 5) < calm.sigmoid()).float()
    assert fit_temperature(true * calm, loss_on(each, BinaryCrossEntropy())) == pytest.approx(true, rel=0.05)


def test_no_other_temperature_has_a_lower_loss_on_soft_targets() -> None:
    logits = 3 * torch.randn(200, 6)
    loss = loss_on(0.6 * (logits + 3 * torch.randn(200, 6)).softmax(-1).double(), SoftCrossEntropy())
    best = fit_temperature(logits, loss)
    least = loss(logits.double() / best)
    assert all(least < loss(logits.double() / (best * factor)) for factor in (0.5, 0.99, 1.01, 2))


def test_a_model_that_is_always_right_is_cooled_and_one_that_never_is_heated() -> None:
    logits, right = torch.tensor([[5.0, 0.0], [4.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert COLDEST <= fit_temperature(logits, loss_on(right, LabelCrossEntropy())) < 0.2
    assert fit_temperature(logits, loss_on(right.flip(-1), LabelCrossEntropy())) == pytest.approx(HOTTEST)


@pytest.mark.parametrize("logits", [torch.zeros(0, 2), torch.tensor([[float("nan"), 0.0]])])
def test_nothing_to_fit_on_is_told(logits: Tensor) -> None:
    with pytest.raises(DataError, match="logits that are all finite, of one question at least"):
        fit_temperature(logits, torch.sum)
