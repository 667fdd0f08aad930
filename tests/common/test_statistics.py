"""Intervals and tests against loops, against binomial sums and against what is known of a normal mean."""

import itertools
import math

import numpy as np
import pytest

import common.statistics
from common.errors import DataError
from common.statistics import (
    bootstrap_interval,
    grouped,
    mcnemar,
    paired_bootstrap,
    paired_randomisation,
    ratio,
)

VALUES = np.random.default_rng(1).normal(3, 2, size=400)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    interval = bootstrap_interval(VALUES)
    half = 1.96 * VALUES.std() / math.sqrt(len(VALUES))
    assert interval.value == pytest.approx(VALUES.mean())
    assert (interval.low, interval.high) == pytest.approx((VALUES.mean() - half, VALUES.mean() + half), abs=half / 10)


def test_a_surer_interval_is_wider_and_a_seed_makes_it_again() -> None:
    narrow, wide = (bootstrap_interval(VALUES, confidence=confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap_interval(VALUES, seed=4) == bootstrap_interval(VALUES, seed=4) != bootstrap_interval(VALUES)


def test_resamples_add_up_statistics_and_score_the_sums_as_a_loop_does() -> None:
    statistics = np.array([[1.0, 2.0], [0.0, 5.0], [3.0, 3.0]])
    generator = np.random.default_rng(7)
    drawn = generator.integers(3, size=(50, 3))
    scores = []
    for indices in drawn:
        right = sum(statistics[index][0] for index in indices)
        scores.append(right / sum(statistics[index][1] for index in indices))
    interval = bootstrap_interval(statistics, ratio, samples=50, seed=7)
    assert interval == pytest.approx((4 / 10, *np.quantile(scores, [0.025, 0.975])))


def test_many_chunks_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    other = VALUES + np.random.default_rng(2).normal(0.1, 1, size=400)
    whole = (bootstrap_interval(VALUES, samples=100), paired_bootstrap(other, VALUES, samples=100))
    monkeypatch.setattr(common.statistics, "CHUNK", 7 * 400)
    assert whole[0] == pytest.approx(bootstrap_interval(VALUES, samples=100))
    assert whole[1] == pytest.approx(paired_bootstrap(other, VALUES, samples=100))
    assert 0 < paired_randomisation(other, VALUES, samples=100) <= 1


def test_a_small_difference_that_is_everywhere_is_found_because_examples_are_paired() -> None:
    other = VALUES + np.random.default_rng(2).normal(0.2, 0.5, size=400)
    difference = paired_bootstrap(other, VALUES)
    assert difference.value == pytest.approx((other - VALUES).mean())
    assert 0 < difference.low < difference.value < difference.high < 0.5
    assert difference.p_value < 0.002
    assert paired_randomisation(other, VALUES) < 0.002


def test_the_runs_change_places_with_the_sign_alone() -> None:
    other = VALUES + np.random.default_rng(2).normal(0.03, 0.5, size=400)
    one, two = paired_bootstrap(other, VALUES), paired_bootstrap(VALUES, other)
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low))
    assert one.p_value == two.p_value


def test_a_run_is_no_better_than_itself() -> None:
    assert paired_bootstrap(VALUES, VALUES) == (0, 0, 0, 1)
    assert paired_randomisation(VALUES, VALUES) == 1


def test_p_values_of_equal_runs_are_spread_evenly() -> None:
    generator = np.random.default_rng(3)
    runs = generator.normal(size=(200, 2, 60))
    for test in (paired_randomisation, lambda a, b, samples: paired_bootstrap(a, b, samples=samples).p_value):
        p_values = np.array([test(first, second, samples=200) for first, second in runs])
        assert abs((p_values < 0.5).mean() - 0.5) < 0.1
        assert abs((p_values < 0.1).mean() - 0.1) < 0.07


def test_randomisation_comes_to_the_share_of_all_exchanges() -> None:
    first, second = np.array([1.0, 0.5, 0.25, 2.0, 1.0, 0.0]), np.array([0.5, 0.0, 0.5, 1.0, 0.0, 0.125])
    gaps = first - second
    sums = [abs(np.dot(signs, gaps)) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean([value >= abs(gaps.sum()) - 1e-12 for value in sums])
    assert paired_randomisation(first, second, samples=20_000) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (9, 3), (12, 12), (0, 60)])
def test_mcnemar_is_the_binomial_sum(only_first: int, only_second: int) -> None:
    right = [True] * only_first + [False] * only_second + [True, False, True]
    wrong = [False] * only_first + [True] * only_second + [True, False, True]
    trials = only_first + only_second
    tail = sum(math.comb(trials, heads) for heads in range(min(only_first, only_second) + 1)) / 2**trials
    assert mcnemar(right, wrong) == pytest.approx((only_first, only_second, min(1, 2 * tail)))


def test_mcnemar_of_many_questions_is_the_normal_tail() -> None:
    right = np.arange(200_000) < 101_000  # z = (101000 - 100000) / sqrt(200000 / 4)
    assert mcnemar(right, ~right).p_value == pytest.approx(math.erfc(1000 / math.sqrt(50_000) / math.sqrt(2)), rel=0.02)


def test_questions_of_one_picture_can_be_one_example() -> None:
    values, pictures = [1.0, 0.0, 0.5, 1.0], ["b", "a", "b", "c"]
    statistics = grouped(values, pictures)
    assert statistics.tolist() == [[1.5, 2], [0, 1], [1, 1]]
    assert bootstrap_interval(statistics, ratio).value == pytest.approx(2.5 / 4)
    assert ratio(np.zeros((1, 2))) == 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], [], "no examples"),
        ([1.0, 2.0], [1.0], "runs on 2 and 1 examples cannot be compared"),
        ([1.0, 2.0], [1.0, math.nan], "example 1 has a score that is no number"),
    ],
)
def test_what_cannot_be_compared_is_told(first: list[float], second: list[float], message: str) -> None:
    for test in (paired_bootstrap, paired_randomisation):
        with pytest.raises(DataError, match=message):
            test(first, second)


def test_right_and_wrong_answers_must_be_as_many() -> None:
    with pytest.raises(DataError, match="runs on 1 and 2 examples"):
        mcnemar([True], [True, False])
