from pathlib import Path

import pytest

from common.data.records import Scoring, VQARecord
from common.errors import DataError
from vqa.metrics import (
    check_choices,
    measure_answers,
    measures_for,
    score_answers,
    score_each,
    scored_with,
    vizwiz_accuracy,
    vqa_accuracy,
)


def record(question_id: int, *answers: str, types: tuple[str, ...] = ()) -> VQARecord:
    return VQARecord(Path("x.png"), 1, "what?", question_id, answers, types)


def test_scores_are_overall_and_by_type_times_100() -> None:
    records = [
        record(1, *["red"] * 10, types=("colour",)),
        record(2, *["red"] * 3, *["blue"] * 7, types=("colour", "hard")),
        record(3, *["yes"] * 10),
    ]
    assert score_answers({3: "no", 2: "red", 1: "red"}, records) == pytest.approx(
        {"accuracy": 190 / 3, "accuracy/colour": 95, "accuracy/hard": 90}
    )


def test_one_answer_a_question_is_scored_by_exact_match_and_wups() -> None:
    records = [record(1, "chair"), record(2, "lamp")]
    measures = measures_for(records, similarity=lambda first, second: 0.8)
    assert score_answers({1: "chair", 2: "table"}, records, measures) == pytest.approx(
        {"accuracy": 50, "WUPS@0.9": 54, "WUPS@0.0": 90}
    )
    assert score_answers({1: "chair", 2: "table"}, records) == {"accuracy": 50}


def test_a_similarity_given_is_used_with_several_annotators_too() -> None:
    records = [record(1, *["chair"] * 9, "lamp")]
    measures = measures_for(records, similarity=lambda first, second: 0.8)
    assert score_answers({1: "chair"}, records, measures) == pytest.approx(
        {"accuracy": 100, "WUPS@0.9": 90.8, "WUPS@0.0": 98}
    )


@pytest.mark.parametrize(
    ("predictions", "records", "message"),
    [
        ({}, [], "at least one record"),
        ({}, [record(1, "a"), record(2, "b")], "2 of 2 questions are not answered, such as 1, 2"),
        ({1: "a", 7: "b"}, [record(1, "a")], "1 answers are to unknown questions, such as 7"),
        ({1: "a"}, [record(1, "a"), record(1, "b")], "1 question ids occur more than once"),
        ({1: "", 2: " "}, [record(1, "a"), record(2, "b")], "all 2 answers are empty"),
        ({1: "a"}, [record(1)], "1 questions have no true answer to score against, such as 1"),
    ],
)
def test_predictions_and_records_must_be_of_the_same_questions(
    predictions: dict[int, str], records: list[VQARecord], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_answers(predictions, records)


def test_scores_of_each_question_are_in_the_order_of_the_records() -> None:
    records = [record(1, *["red"] * 10), record(2, *["red"] * 3, *["blue"] * 7)]
    assert score_each({2: "red", 1: "red"}, records, vqa_accuracy) == pytest.approx([1, 0.9])
    with pytest.raises(DataError, match="1 of 2 questions are not answered, such as 2"):
        score_each({1: "red"}, records, vqa_accuracy)


def test_the_version_of_the_official_script_may_be_chosen() -> None:
    records = [record(1, *["two"] * 9, "three")]
    assert score_answers({1: "2"}, records) == {"accuracy": 100}
    assert score_answers({1: "2"}, records, measures_for(records, version="2015")) == {"accuracy": 0}


def test_an_answer_that_is_none_of_the_choices_is_told() -> None:
    offered = VQARecord(Path("x.png"), 1, "what?", 1, ("a",), choices=("a", "b"))
    check_choices({1: "b", 2: "c"}, [offered, record(2, "d")])
    with pytest.raises(DataError, match="1 answers are none of the choices offered, such as those to 1"):
        check_choices({1: "c"}, [offered])


def test_what_was_scored_with_tells_the_version_and_the_challenge() -> None:
    ten, one = record(1, *["two"] * 9, "three"), record(2, "two")
    assert scored_with([ten]) == {
        "accuracy": "VQA accuracy, the official script since March 2021 (version 2021)",
        "true answers": "10 to 1 questions",
    }
    assert "before March 2021 (version 2015)" in scored_with([ten], "2015")["accuracy"]
    assert scored_with([one])["accuracy"] == "exact matches of the items listed"
    blurred = VQARecord(Path("x.png"), 1, "what?", 3, ("two",) * 10, scoring=Scoring(answerable=False))
    assert scored_with([blurred])["accuracy"] == "accuracy of the VizWiz challenge"
    assert measures_for([blurred])["accuracy"] is vizwiz_accuracy


def test_measures_know_each_picture_s_part_and_have_the_same_value() -> None:
    records = [
        VQARecord(Path("x.png"), image, "what?", number, ("red",), ("other",) if number else ())
        for number, image in enumerate((1, 1, 2, 3, 3, 3))
    ]
    answers = dict(enumerate(("red", "blue", "red", "red", "red", "blue")))
    measures = measure_answers(answers, records)
    assert {name: each.value for name, each in measures.items()} == pytest.approx(score_answers(answers, records))
    assert measures["accuracy"].statistics.tolist() == [[100, 2], [100, 1], [200, 3]]  # type: ignore[union-attr]
