"""Temperature scaling: one number that makes a classifier's confidences as likely as they say (Guo et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from common.errors import DataError

KEY = "temperature"  # where it stands in what a checkpoint says of itself
COLDEST, HOTTEST = 0.01, 100.0
HALVINGS = 40  # of the interval of log(1 / temperature), which leaves nothing of it


def fit_temperature(logits: Float[Tensor, "N A"], loss: Callable[[Tensor], Tensor]) -> float:
    """The T for which the loss of logits / T is least.

    loss: of logits [N A], such as the objective that the model was trained for; it must be convex in 1 / T, as
        cross-entropies are. Halving an interval by the sign of its slope then finds the one minimum in 0.01..100, or
        how near to an end numbers can tell.
    Raises DataError where there are no logits, or one is no number.
    """
    if not len(logits) or not logits.isfinite().all():
        raise DataError("a temperature needs logits that are all finite, of one question at least")
    scores = logits.double()
    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        cold = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(loss(scores * cold.exp()), cold)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def read_temperature(checkpoint: Mapping[str, Any]) -> float:
    """What `with_temperature` has put into a checkpoint, else 1; raises ValueError where it is no positive number."""
    temperature = float(checkpoint.get("saccade", {}).get(KEY, 1.0))
    if not 0 < temperature < math.inf:
        raise ValueError(f"its temperature is {temperature}, which is no positive number")
    return temperature


def with_temperature(checkpoint: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """The checkpoint with a temperature, which all that is answered with it goes by."""
    return {**checkpoint, "saccade": {**checkpoint["saccade"], KEY: temperature}}
