"""Whether a question can be answered from its picture, as the VizWiz challenge scores it (Gurari et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from common.errors import DataError

THRESHOLD = 0.5


def answerability(answerable: Sequence[float], truth: Sequence[bool]) -> dict[str, float]:
    """Average precision and F1, in percent, at finding the questions that can NOT be answered.

    answerable: [N] in 0..1, how likely each question can be; one above 0.5 that it cannot counts for F1.
    truth: [N], whether it can. Raises DataError for other numbers, or where all questions can be answered.
    """
    likely, can = np.asarray(answerable, dtype=np.float64), np.asarray(truth, dtype=bool)
    if len(likely) != len(can):
        raise DataError(f"{len(likely)} predictions for {len(can)} questions: give one for each")
    if not ((likely >= 0) & (likely <= 1)).all():
        raise DataError("how likely a question can be answered must be in 0..1 for each question")
    if can.all():
        raise DataError("every question can be answered: average precision needs some that cannot")
    found = 1 - likely > THRESHOLD
    both = int((found & ~can).sum())
    return {
        "unanswerable/average precision": 100 * average_precision(1 - likely, ~can),
        "unanswerable/F1": 100 * 2 * both / max(int(found.sum()) + int((~can).sum()), 1),
    }


def average_precision(scores: Float[np.ndarray, " N"], positive: Bool[np.ndarray, " N"]) -> float:
    """The mean over positives of the precision at the threshold that finds each: sum of (R_n - R_n-1) P_n.

    Equal scores are found together; nothing is interpolated.
    """
    levels, where = np.unique(-scores, return_inverse=True)
    right = np.cumsum(np.bincount(where, positive, len(levels)))
    found = np.cumsum(np.bincount(where, minlength=len(levels)))
    gained = np.diff(right, prepend=0)
    return float((gained * right / found).sum() / right[-1])
