from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.records import VQARecord
from common.errors import DataError
from vqa.answers import normalise_answer, strip_punctuation
from vqa.metrics import Version, exact_match, measures_for, score_answers, vqa_accuracy

texts = st.sampled_from(["two", "2", "Two", "t-shirt", "t shirt", "the 2", " 2", "dont", "3.", "a"])


def official(prediction: str, answers: list[str], version: str) -> float:
    """The loop of the official script, with one dictionary for each annotator."""
    humans = [{"answer": answer, "answer_id": number} for number, answer in enumerate(answers)]
    if version == "2021":
        prediction = prediction.strip()
        humans = [{**human, "answer": human["answer"].strip()} for human in humans]
    differ = len({human["answer"] for human in humans}) > 1
    if version == "2017" or differ:
        prediction = normalise_answer(prediction)
    if differ:
        clean = normalise_answer if version == "2021" else strip_punctuation
        humans = [{**human, "answer": clean(human["answer"])} for human in humans]
    accuracies = []
    for human in humans:
        others = [other for other in humans if other != human]
        accuracies.append(min(1, sum(other["answer"] == prediction for other in others) / 3))
    return sum(accuracies) / len(accuracies)


@given(texts, st.lists(texts, min_size=1, max_size=10), st.sampled_from(["2021", "2017"]))
def test_accuracy_is_that_of_the_official_loop(prediction: str, answers: list[str], version: Version) -> None:
    assert vqa_accuracy(prediction, answers, version) == pytest.approx(official(prediction, answers, version))


@pytest.mark.parametrize(
    ("prediction", "answers", "now", "before"),
    [
        ("red", ["red"] * 2 + ["blue"] * 8, 0.6, 0.6),
        ("2", ["two"] * 9 + ["three"], 1, 0),  # annotators' numbers were not normalised before 2021
        ("2", ["two"] * 10, 0, 0),  # unanimous: to the letter
        ("t shirt", ["t-shirt"] * 10, 0, 0),
        ("t-shirt", ["t-shirt"] * 10, 1, 0),  # the prediction was always normalised before 2021
        ("Yes", ["yes"] * 10, 0, 1),
        ("the dog", ["dog"] * 3 + ["cat"] * 7, 0.9, 0.9),
        ("a", ["the"] * 4 + ["cat"] * 6, 1, 0),  # nothing is left of either
        ("", ["yes"] * 10, 0, 0),
    ],
)
def test_the_two_versions_by_hand(prediction: str, answers: list[str], now: float, before: float) -> None:
    assert vqa_accuracy(prediction, answers) == pytest.approx(now)
    assert vqa_accuracy(prediction, answers, "2017") == pytest.approx(before)


def test_exact_matches_compare_lists_as_sets() -> None:
    assert exact_match("scissor, tape_dispenser", ["tape_dispenser,scissor"]) == 1
    assert exact_match("scissor", ["tape_dispenser, scissor"]) == 0
    assert exact_match("chair", ["chair", "table"]) == 0.5


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
        ({}, [record(1, "a"), record(2, "b")], "2 of 2 questions are not answered, such as 1"),
        ({1: "a", 7: "b"}, [record(1, "a")], "1 answers are to unknown questions, such as 7"),
        ({1: "a"}, [record(1, "a"), record(1, "b")], "1 question ids occur more than once"),
        ({1: "a"}, [record(1)], "1 questions have no true answer to score against, such as 1"),
    ],
)
def test_predictions_and_records_must_be_of_the_same_questions(
    predictions: dict[int, str], records: list[VQARecord], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_answers(predictions, records)
