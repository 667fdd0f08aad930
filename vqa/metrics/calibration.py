"""How far confidences can be trusted: calibration errors, and accuracy when unsure answers are held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from common.errors import DataError

Numbers: TypeAlias = Sequence[float] | Float[np.ndarray, " N"]

BINS = 15  # as in Guo et al. 2017
RISKS = (0.05, 0.2)  # shares of wrong answers at which the coverage is told


class Bin(NamedTuple):
    """Answers whose confidence lies in a range: its ends, the mean confidence, the mean score, how many they are."""

    low: float
    high: float
    confidence: float
    accuracy: float
    answers: int


class RiskCoverage(NamedTuple):
    """Answers in the order of their confidence: the share that is given, and the mean of 1 - score among these."""

    coverage: Float[np.ndarray, " N"]
    risk: Float[np.ndarray, " N"]

    @property
    def area(self) -> float:
        """AURC, the mean risk over all coverages (Geifman and El-Yaniv 2019); lower is better."""
        return float(self.risk.mean())

    def coverage_at(self, risk: float) -> float:
        """The largest share of the questions that can be answered at no more than this risk (Whitehead et al. 2022)."""
        within = np.flatnonzero(self.risk <= risk + 1e-12)
        return float(self.coverage[within[-1]]) if len(within) else 0.0


def equal_width_bins(confidences: Numbers, scores: Numbers, bins: int = BINS) -> list[Bin]:
    """Answers by confidence in (0, 1/bins], (1/bins, 2/bins], ...; 0 is in the first. Empty bins are left out.

    confidences, scores: [N], both in 0..1; a score is 1 for a right answer, or its VQA accuracy.
    Raises DataError for other numbers, or none.
    """
    confidence, score = _ordered(confidences, scores)
    edges = np.linspace(0, 1, bins + 1)
    numbers = np.searchsorted(edges[1:-1], confidence, side="left")
    return [
        _bin(float(edges[number]), float(edges[number + 1]), confidence[numbers == number], score[numbers == number])
        for number in np.unique(numbers).tolist()
    ]


def equal_mass_bins(confidences: Numbers, scores: Numbers, bins: int = BINS) -> list[Bin]:
    """As many answers in each bin, or one more in the first (Nguyen and O'Connor 2015); arguments and errors as above.

    Equal confidences on both sides of a border share their mean score, so that the answers' order does not matter.
    """
    confidence, score = _ordered(confidences, scores)
    parts = zip(np.array_split(confidence, bins), np.array_split(score, bins), strict=True)
    return [_bin(float(sure[0]), float(sure[-1]), sure, right) for sure, right in parts if len(sure)]


def calibration_error(bins: Sequence[Bin]) -> float:
    """ECE, in 0..1: the mean of |accuracy - confidence| over the bins, each weighted by its answers."""
    total = sum(each.answers for each in bins)
    return sum(each.answers * abs(each.accuracy - each.confidence) for each in bins) / total


def brier_score(confidences: Numbers, scores: Numbers) -> float:
    """The mean of (confidence - score)^2 of the answers that were given (Brier 1950); errors as `equal_width_bins`."""
    confidence, score = _checked(confidences, scores)
    return float(np.square(confidence - score).mean())


def risk_coverage(confidences: Numbers, scores: Numbers) -> RiskCoverage:
    """The risk at each coverage when the surest answers are given first; errors as `equal_width_bins`.

    Among equal confidences each counts as their mean, as if they came in random order.
    """
    _, score = _ordered(confidences, scores)
    given = np.arange(1, len(score) + 1)
    return RiskCoverage(given / len(score), np.cumsum(1 - score[::-1]) / given)


def score_confidences(confidences: Numbers, scores: Numbers) -> dict[str, float]:
    """All of the above, in percent, by name; arguments and errors as `equal_width_bins`."""
    curve = risk_coverage(confidences, scores)
    measures = {
        f"ECE, {BINS} bins of equal width": calibration_error(equal_width_bins(confidences, scores)),
        f"ECE, {BINS} bins of equal mass": calibration_error(equal_mass_bins(confidences, scores)),
        "Brier score": brier_score(confidences, scores),
        "AURC": curve.area,
    } | {f"coverage at risk {risk:.0%}": curve.coverage_at(risk) for risk in RISKS}
    return {name: 100 * value for name, value in measures.items()}


def _checked(confidences: Numbers, scores: Numbers) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    confidence, score = (np.asarray(values, dtype=np.float64) for values in (confidences, scores))
    if len(confidence) != len(score) or not len(score):
        raise DataError(f"{len(confidence)} confidences for {len(score)} scores: give one for each, and at least one")
    for name, values in (("confidence", confidence), ("score", score)):
        wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(wrong):
            raise DataError(
                f"{len(wrong)} {name}s are not in 0..1, such as {values[wrong[0]]} of answer {wrong[0] + 1}"
            )
    return confidence, score


def _ordered(confidences: Numbers, scores: Numbers) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Confidences from low to high, with the scores, those of equal confidences being their mean."""
    confidence, score = _checked(confidences, scores)
    levels, where, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    means = np.bincount(where, score) / counts
    return np.repeat(levels, counts), np.repeat(means, counts)


def _bin(low: float, high: float, confidence: Float[np.ndarray, " K"], score: Float[np.ndarray, " K"]) -> Bin:
    return Bin(low, high, float(confidence.mean()), float(score.mean()), len(score))
