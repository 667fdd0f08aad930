"""The optimiser and its learning rate over the steps, the same for every model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from common.errors import ConfigError


@dataclass(frozen=True)
class Optimisation:
    """How to train.

    learning_rate: of everything but the encoder; the highest that the schedule reaches.
    encoder_learning_rate: of the trained part of the encoder; None takes `learning_rate`.
    weight_decay: decoupled (Loshchilov and Hutter 2019, AdamW), of matrices only: not of biases, norms, single vectors.
    warmup_steps: optimiser steps over which the rate rises in a line from nearly nothing.
    schedule: what follows the warm-up: "constant", or down to nothing at the last step as a "cosine" or a "linear" one.
    """

    learning_rate: float = 1e-3
    encoder_learning_rate: float | None = None
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine", "linear"] = "cosine"

    def __post_init__(self) -> None:
        for name in ("learning_rate", "encoder_learning_rate", "weight_decay", "warmup_steps"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"optimisation.{name} must not be negative, not {value}")


def configure(
    module: LightningModule, optimisation: Optimisation, encoder: nn.Module | None = None
) -> OptimizerLRSchedulerConfig:
    """What `configure_optimizers` returns: AdamW over all that is trained in `module`, with a rate for each step.

    Args:
        encoder: the part of `module` that has a learning rate of its own.

    Raises:
        ConfigError: the rate is to fall until the last step, but training has no end.
    """
    optimizer = AdamW(_groups(module, optimisation, encoder), fused=_fuses(module) or None)
    factor = rate_factor(optimisation, module.trainer.estimated_stepping_batches)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


def rate_factor(optimisation: Optimisation, total_steps: float) -> Callable[[int], float]:
    """The factor on the learning rates at each optimiser step, counted from 0.

    Raises:
        ConfigError: `total_steps` is infinite and the schedule needs an end.
    """
    schedule, warmup = optimisation.schedule, optimisation.warmup_steps
    if schedule != "constant" and math.isinf(total_steps):
        raise ConfigError(f"optimisation.schedule {schedule!r} needs an end: set trainer.max_epochs or max_steps")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if schedule == "constant":
            return 1.0
        progress = min((step - warmup) / max(total_steps - warmup, 1), 1.0)
        return 1 - progress if schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2

    return factor


def _groups(module: nn.Module, optimisation: Optimisation, encoder: nn.Module | None) -> list[dict[str, object]]:
    """The trained parameters by learning rate and by whether they decay; no group is empty."""
    of_encoder = {id(parameter) for parameter in encoder.parameters()} if encoder is not None else set()
    encoder_rate = optimisation.encoder_learning_rate
    rates = {
        False: optimisation.learning_rate,
        True: optimisation.learning_rate if encoder_rate is None else encoder_rate,
    }
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in of_encoder, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": rates[encodes], "weight_decay": optimisation.weight_decay if matrices else 0.0}
        for (encodes, matrices), parameters in groups.items()
    ]


def _fuses(module: LightningModule) -> bool:
    """On a CPU one fused kernel spares several passes over the memory; on a GPU PyTorch's own choice (None) is one
    kernel for many parameters. In mixed precision Lightning clips no gradients that a fused kernel might scale."""
    on_cpu = all(each.device.type == "cpu" for each in module.parameters())
    return on_cpu and "mixed" not in str(module.trainer.precision)
