from __future__ import annotations

import pytest
import torch

from common.errors import DataError
from vqa.temperature import COLDEST, HOTTEST, fit_temperature


def loss(logits: torch.Tensor, targets: torch.Tensor, temperature: float) -> float:
    shares = targets / targets.sum(-1, keepdim=True)
    return float(-(shares * (logits.double() / temperature).log_softmax(-1)).sum(-1).mean())


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_that_logits_were_heated_by_is_found(true: float) -> None:
    calm = 2 * torch.randn(20000, 5)
    drawn = torch.distributions.Categorical(logits=calm).sample()
    assert fit_temperature(true * calm, torch.eye(5)[drawn]) == pytest.approx(true, rel=0.05)


def test_no_other_temperature_has_a_lower_loss_on_soft_targets() -> None:
    logits = 3 * torch.randn(200, 6)
    targets = 0.6 * (logits + 3 * torch.randn(200, 6)).softmax(-1)
    best = fit_temperature(logits, targets)
    least = loss(logits, targets, best)
    assert all(least < loss(logits, targets, best * factor) for factor in (0.5, 0.99, 1.01, 2))
    silent = torch.zeros(3, 6)
    assert fit_temperature(torch.cat([logits, 100 * torch.randn(3, 6)]), torch.cat([targets, silent])) == best


def test_a_model_that_is_always_right_is_cooled_and_one_that_never_is_heated() -> None:
    logits, right = torch.tensor([[5.0, 0.0], [4.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert COLDEST <= fit_temperature(logits, right) < 0.2
    assert fit_temperature(logits, right.flip(-1)) == pytest.approx(HOTTEST)


def test_nothing_to_fit_on_is_told() -> None:
    with pytest.raises(DataError, match="no question has a known right answer"):
        fit_temperature(torch.randn(3, 2), torch.zeros(3, 2))
    with pytest.raises(DataError, match="not all finite"):
        fit_temperature(torch.tensor([[float("nan"), 0.0]]), torch.ones(1, 2))
