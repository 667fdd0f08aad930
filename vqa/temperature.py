"""Temperature scaling: one number that makes a classifier's confidences as likely as they say (Guo et al. 2017)."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from common.errors import DataError

COLDEST, HOTTEST = 0.01, 100.0
HALVINGS = 60  # of the interval of log(1 / temperature), which leaves nothing of it


def fit_temperature(logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"]) -> float:
    """The T of softmax(logits / T) for which the cross-entropy with the targets, as distributions, is least.

    It is convex in 1 / T, so that halving an interval by the sign of its slope finds the one minimum, or the end of
    0.01..100 that lies nearest.
    targets: the answers' scores; questions [N] without a known right answer, rows of zeros, do not count.
    Raises DataError where no question counts, or a logit is no number.
    """
    known = targets.sum(-1) > 0
    if not known.any():
        raise DataError("no question has a known right answer, so that no temperature can be fitted")
    scores, wanted = logits[known].double(), targets[known].double()
    if not scores.isfinite().all():
        raise DataError("the model's logits are not all finite, so that no temperature can be fitted")
    wanted_mean = (wanted / wanted.sum(-1, keepdim=True) * scores).sum(-1).mean()
    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((scores * math.exp(middle)).softmax(-1) * scores).sum(-1).mean()
        low, high = (middle, high) if expected < wanted_mean else (low, middle)
    return math.exp(-(low + high) / 2)
