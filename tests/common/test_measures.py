import numpy as np
import pytest

from common.errors import DataError
from common.measures import Measure, compare, comparison_table
from common.statistics import paired_bootstrap, paired_randomisation, ratio

GENERATOR = np.random.default_rng(0)
ONE, TWO = GENERATOR.normal(50, 9, 200), GENERATOR.normal(50, 9, 200)


def test_a_measure_is_a_mean_or_what_its_score_makes_of_the_sums() -> None:
    assert Measure([1.0, 2.0, 6.0]).value == 3
    assert Measure([[1.0, 2.0], [2.0, 4.0]], ratio).value == 0.5
    assert Measure([1.0, 2.0]).each.tolist() == [1, 2]
    assert Measure([[1.0, 2.0], [3.0, 4.0]], ratio).each.tolist() == [0.5, 0.75]
    with pytest.raises(DataError, match="no examples"):
        _ = Measure([]).value


def test_runs_are_compared_by_the_measures_that_both_have() -> None:
    compared = compare({"a": Measure(ONE), "b": Measure(ONE)}, {"c": Measure(ONE), "a": Measure(TWO)}, samples=300)
    assert list(compared) == ["a"]
    difference = paired_bootstrap(ONE, TWO, samples=300)
    assert compared["a"].difference == pytest.approx(ONE.mean() - TWO.mean()) == difference.value
    assert (compared["a"].low, compared["a"].high) == (difference.low, difference.high)
    assert compared["a"].bootstrap_p == difference.p_value
    assert compared["a"].randomisation_p == paired_randomisation(ONE, TWO, samples=300)


def test_the_table_has_a_line_for_each_measure_and_a_star_for_what_is_no_chance() -> None:
    compared = compare({"a": Measure(ONE), "b": Measure(ONE + 5)}, {"a": Measure(ONE), "b": Measure(ONE)}, samples=300)
    head, same, better = comparison_table(compared, "mine", "theirs").splitlines()
    assert head.split()[:2] == ["mine", "theirs"]
    assert same.split() == [
        "a",
        f"{ONE.mean():.2f}",
        f"{ONE.mean():.2f}",
        "+0.00",
        "+0.00",
        "..",
        "+0.00",
        "1.0000",
        "1.0000",
    ]
    assert better.endswith("*")
    assert "+5.00 .. +5.00" in better


def test_runs_without_a_common_measure_or_examples_are_not_compared() -> None:
    with pytest.raises(DataError, match="no measure in common"):
        compare({"a": Measure([1.0])}, {"b": Measure([1.0])})
    with pytest.raises(DataError, match="1 and 2 examples"):
        compare({"a": Measure([1.0])}, {"a": Measure([1.0, 2.0])})
