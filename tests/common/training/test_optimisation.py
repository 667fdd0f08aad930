from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from common.errors import ConfigError
from common.training.optimisation import Optimisation, configure, rate_factor


class Reader(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
        self.encoder[0].requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))


class Steps:
    """As much of a trainer as `configure` asks for."""

    def __init__(self, total: float, precision: str) -> None:
        self.estimated_stepping_batches = total
        self.precision = precision


def reader(total: float = 10, precision: str = "32-true") -> Reader:
    module = Reader()
    module._trainer = Steps(total, precision)  # type: ignore[assignment]
    return module


def factors(optimisation: Optimisation, total: float) -> list[float]:
    factor = rate_factor(optimisation, total)
    return [round(factor(step), 4) for step in range(int(total) + 1)]


def test_each_schedule_over_eight_steps_after_a_warm_up_of_two() -> None:
    third, two_thirds = round(1 / 3, 4), round(2 / 3, 4)
    cosine = [round((1 + math.cos(math.pi * step / 6)) / 2, 4) for step in range(7)]
    assert factors(Optimisation(warmup_steps=2, schedule="constant"), 8) == [third, two_thirds] + 7 * [1.0]
    assert factors(Optimisation(warmup_steps=2, schedule="cosine"), 8) == [third, two_thirds, *cosine]
    linear = factors(Optimisation(warmup_steps=2, schedule="linear"), 8)
    assert linear == [third, two_thirds, 1.0, 0.8333, 0.6667, 0.5, 0.3333, 0.1667, 0.0]


def test_a_schedule_with_an_end_needs_one() -> None:
    assert rate_factor(Optimisation(schedule="constant"), math.inf)(10**9) == 1.0
    with pytest.raises(ConfigError, match=r"needs an end: set trainer.max_epochs or max_steps"):
        rate_factor(Optimisation(schedule="linear"), math.inf)


def test_training_longer_than_planned_does_not_raise_the_rate_again() -> None:
    assert rate_factor(Optimisation(schedule="cosine"), 4)(9) == 0.0


def test_only_trained_matrices_decay_and_the_encoder_has_its_own_rate() -> None:
    module = reader()
    optimisation = Optimisation(learning_rate=0.1, encoder_learning_rate=0.01, weight_decay=0.5, schedule="constant")
    groups = configure(module, optimisation, module.encoder)["optimizer"].param_groups  # type: ignore[typeddict-item]
    found = {id(each): (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}
    trained_encoder, (linear, norm) = module.encoder[1], module.head
    assert found == {
        id(trained_encoder.weight): (0.01, 0.5),
        id(trained_encoder.bias): (0.01, 0.0),
        id(linear.weight): (0.1, 0.5),
        id(linear.bias): (0.1, 0.0),
        id(norm.weight): (0.1, 0.0),
        id(norm.bias): (0.1, 0.0),
    }


def test_one_step_is_that_of_adamw_by_hand() -> None:
    module = reader()
    optimizer = configure(module, Optimisation(0.1, weight_decay=0.5, schedule="constant"))["optimizer"]  # type: ignore[typeddict-item]
    weight = module.head[0].weight
    before = weight.detach().clone()
    weight.sum().backward()  # a gradient of 1: the first Adam step is the learning rate
    optimizer.step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5) - 0.1)


def test_elsewhere_than_on_a_cpu_pytorch_chooses_how_to_step() -> None:
    module = reader()
    assert configure(module, Optimisation(schedule="constant"))["optimizer"].defaults["fused"]  # type: ignore[typeddict-item]
    module.to("meta")
    assert configure(module, Optimisation(schedule="constant"))["optimizer"].defaults["fused"] is None  # type: ignore[typeddict-item]


@pytest.mark.parametrize("setting", [{"learning_rate": -1.0}, {"weight_decay": math.inf}, {"warmup_steps": -3}])
def test_impossible_values_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"optimisation.{next(iter(setting))} must not be negative"):
        Optimisation(**setting)  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", None)])
def test_steps_are_fused_on_a_cpu_but_not_in_mixed_precision_where_gradients_could_not_be_clipped(
    precision: str, fused: bool | None
) -> None:
    optimizer = configure(reader(precision=precision), Optimisation())["optimizer"]
    assert optimizer.defaults["fused"] is fused
