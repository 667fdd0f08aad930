from __future__ import annotations

import csv
import io
import math

import pytest

from common.explain.comparison import Column, Comparison, Estimate, Row, compare, estimate, t_probability, t_quantile

SCORE, LOOK, TIME = Column("score", "score"), Column("look", "look, %"), Column("time", "time, s", 0, "lowest")


def table(*rows: Row, needed: str = "") -> Comparison:
    return compare("Kinds", [SCORE, LOOK, TIME], rows, ["a note"], needed)


SOFT = Row("soft", {"score": Estimate(80.04), "look": Estimate(71.0), "time": Estimate(1234.0)})
HARD = Row("hard", {"score": Estimate(61.0), "look": Estimate(75.5), "time": Estimate(900.0)})
BLIND = Row("blind", {"score": Estimate(36.5), "time": Estimate(10.0)})
BROKEN = Row("broken | <b>", {}, 0, "seed 0: it diverged")


@pytest.mark.parametrize(  # from the printed tables, P(|T| < t) = 0.95
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_student_s_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert t_quantile(freedom) == pytest.approx(t, abs=6e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8])
def test_student_s_probability_is_the_integral_of_its_density(freedom: int) -> None:
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    steps = 20000
    width = 1.7 / steps
    area = sum(
        width * scale * (1 + ((index + 0.5) * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for index in range(steps)
    )
    assert t_probability(1.7, freedom) == pytest.approx(2 * area, abs=1e-8)


def test_an_interval_of_known_numbers() -> None:
    # mean 3, deviation sqrt(2.5), t(4) = 2.776445
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3
    assert found.margin == pytest.approx(2.776445 * math.sqrt(2.5 / 5), abs=1e-5)
    assert estimate([7.0, 7.0]) == Estimate(7.0, 0.0)


def test_a_single_seed_has_no_interval() -> None:
    assert estimate([4.0]) == Estimate(4.0, None)
    assert SCORE.text(estimate([4.0])) == "4.0"
    assert TIME.text(Estimate(12345.6, 78.9)) == "12,346 ± 79"


def test_the_best_kind_is_first_and_the_best_values_are_bold() -> None:
    assert table(BROKEN, HARD, SOFT).markdown() == (
        "# Kinds\n\n"
        "| kind             |    score |  look, % | time, s |\n"
        "| ---------------- | -------: | -------: | ------: |\n"
        "| soft             | **80.0** |     71.0 |   1,234 |\n"
        "| hard             |     61.0 | **75.5** | **900** |\n"
        "| broken \\| &lt;b> |   failed |        – |       – |\n"
        "\n- a note\n- broken \\| &lt;b> failed: seed 0: it diverged\n"
    )


def test_what_looks_alike_is_bold_alike() -> None:
    rows = (SOFT, Row("twin", {"score": Estimate(79.96)}))
    assert table(*rows).cells(SCORE, "**") == ["**80.0**", "**80.0**"]


def test_what_does_not_look_is_not_the_fastest_unless_nothing_looks() -> None:
    assert table(SOFT, HARD, BLIND, needed="look").cells(TIME, "*") == ["1,234", "*900*", "10"]
    assert table(SOFT, HARD, BLIND).cells(TIME, "*") == ["1,234", "900", "*10*"]
    assert table(BLIND, Row("other", {"time": Estimate(20.0)}), needed="look").cells(TIME, "*") == ["*10*", "20"]


def test_one_kind_alone_is_the_best_of_nothing() -> None:
    assert "**" not in table(SOFT, BROKEN).markdown()


def test_columns_without_values_are_left_out_and_seeds_are_told_where_there_are_several() -> None:
    assert [column.name for column in table(BLIND).columns] == ["score", "time"]
    assert "seeds" not in table(SOFT).markdown()
    assert "seeds" in table(Row("soft", {"score": Estimate(1.0, 0.5)}, 3), BROKEN).markdown().splitlines()[2]


def test_the_first_column_that_has_values_ranks() -> None:
    quick, slow = Row("quick", {"time": Estimate(1.0)}), Row("slow", {"time": Estimate(2.0)})
    assert [row.name for row in table(slow, BROKEN, quick).rows] == ["quick", "slow", "broken | <b>"]


def test_where_all_failed_there_is_a_table_still() -> None:
    comparison = table(BROKEN)
    assert "failed" in comparison.markdown()
    assert comparison.text().endswith("broken | <b> failed: seed 0: it diverged")


def test_the_csv_has_all_measures_to_the_last_digit() -> None:
    third = Row("third", {"score": Estimate(1 / 3, 0.1)}, 2)
    read = list(csv.DictReader(io.StringIO(table(third, BLIND, BROKEN).csv())))
    assert [row["kind"] for row in read] == ["blind", "third", "broken | <b>"]
    assert float(read[1]["score"]) == 1 / 3
    assert (read[1]["score ±"], read[1]["seeds"], read[1]["time"]) == ("0.1", "2", "")
    assert read[2]["fault"] == "seed 0: it diverged"


def test_the_text_for_a_terminal_has_the_first_columns_in_line() -> None:
    lines = table(SOFT, HARD).text(most=2).splitlines()
    assert lines == ["      score  look, %", "soft   80.0     71.0", "hard   61.0     75.5"]
