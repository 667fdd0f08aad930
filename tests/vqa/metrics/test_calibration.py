from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DataError
from vqa.metrics import (
    brier_score,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    risk_coverage,
    score_confidences,
)

answered = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.3, 0.6, 1.0])), min_size=1, max_size=40)


def ece_by_loops(pairs: list[tuple[float, float]], bins: int) -> float:
    """Guo et al. 2017, equation 3, with their bins, which are open below."""
    total = 0.0
    for number in range(bins):
        low, high = np.linspace(0, 1, bins + 1)[[number, number + 1]]
        inside = [(c, s) for c, s in pairs if low < c <= high or (c == 0 and number == 0)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(s for _, s in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(accuracy - confidence)
    return total


@given(answered, st.sampled_from([1, 5, 15]))
def test_the_calibration_error_is_that_of_loops(pairs: list[tuple[float, float]], bins: int) -> None:
    found = calibration_error(equal_width_bins(*zip(*pairs, strict=True), bins))
    assert found == pytest.approx(ece_by_loops(pairs, bins), abs=1e-9)


def test_bins_of_equal_mass_hold_as_many_answers_each() -> None:
    draw = random.Random(0)
    confidences = [draw.random() for _ in range(32)]
    bins = equal_mass_bins(confidences, [1] * 32, bins=5)
    assert [each.answers for each in bins] == [7, 7, 6, 6, 6]
    ordered = sorted(confidences)
    assert [each.low for each in bins] == [ordered[start] for start in (0, 7, 14, 20, 26)]
    assert calibration_error(bins) == pytest.approx(1 - np.mean(confidences))


def test_fewer_answers_than_bins_have_a_bin_each() -> None:
    assert [each.answers for each in equal_mass_bins([0.2, 0.9], [0, 1])] == [1, 1]


@given(answered, st.randoms())
def test_the_order_of_the_answers_does_not_matter_though_confidences_are_equal(
    pairs: list[tuple[float, float]], draw: random.Random
) -> None:
    pairs = [(round(confidence, 1), score) for confidence, score in pairs]
    mixed = draw.sample(pairs, len(pairs))
    one, other = (score_confidences(*zip(*each, strict=True)) for each in (pairs, mixed))
    assert one == pytest.approx(other)


def aurc_by_loops(pairs: list[tuple[float, float]]) -> float:
    ordered = sorted(pairs, reverse=True)
    risks = [sum(1 - score for _, score in ordered[:given]) / given for given in range(1, len(ordered) + 1)]
    return sum(risks) / len(risks)


def test_the_area_under_risk_and_coverage_is_that_of_loops() -> None:
    draw = random.Random(1)
    pairs = [(draw.random(), float(draw.random() < 0.6)) for _ in range(50)]
    curve = risk_coverage(*zip(*pairs, strict=True))
    assert curve.area == pytest.approx(aurc_by_loops(pairs))
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(1 - np.mean([score for _, score in pairs]))


def test_by_hand() -> None:
    confidences, scores = [0.9, 0.8, 0.5, 0.4], [1, 1, 0, 1]
    curve = risk_coverage(confidences, scores)
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert [curve.coverage_at(risk) for risk in (0, 0.05, 0.25, 0.3)] == [0.5, 0.5, 1, 1]
    assert risk_coverage([0.9], [0]).coverage_at(0.5) == 0
    assert brier_score(confidences, scores) == pytest.approx((0.01 + 0.04 + 0.25 + 0.36) / 4)
    named = score_confidences(confidences, scores)
    assert named["Brier score"] == pytest.approx(16.5)
    assert named["coverage at risk 5%"] == 50
    assert named["ECE, 15 bins of equal width"] == pytest.approx(100 * (0.1 + 0.2 + 0.5 + 0.6) / 4)


@pytest.mark.parametrize(
    ("confidences", "scores", "message"),
    [
        ([], [], "0 confidences for 0 scores: give one for each, and at least one"),
        ([0.5], [1, 0], "1 confidences for 2 scores"),
        ([0.5, float("nan")], [1, 0], "1 confidences are not in 0..1, such as nan of answer 2"),
        ([-0.5, 2], [1, 0], "2 confidences are not in 0..1, such as -0.5 of answer 1"),
        ([0.5, 0.5], [100, 0], "1 scores are not in 0..1, such as 100.0 of answer 1"),
    ],
)
def test_numbers_that_are_no_confidences_or_scores_are_told(
    confidences: list[float], scores: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_confidences(confidences, scores)
