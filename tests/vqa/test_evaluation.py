from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.attention import AttentionMap, Boxes
from common.data.records import NamedBox, Prediction, Scoring, VQARecord
from common.errors import DataError
from tests.vqa import recipes
from vqa.evaluation import answer_all, grounding, ranking, score

LEFT, RIGHT = NamedBox((0.0, 0.0, 0.4, 1.0), "circle"), NamedBox((0.6, 0.0, 1.0, 1.0), "square")
LEVELS = ("word", "question")


@pytest.fixture
def record(tmp_path: Path) -> VQARecord:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    answers = ("red",) * 10
    return VQARecord(
        tmp_path / "a.png", 1, "what colour is the circle?", 7, answers, ("colour",), (LEFT, RIGHT), (LEFT,)
    )


def looked(text: str, *weights: list[float]) -> Prediction:
    """An answer that looked at the two boxes so at each level."""
    layout = Boxes(torch.tensor([LEFT.corners, RIGHT.corners]))
    image = AttentionMap(torch.tensor(weights), ("level", "region"), layout, "parallel", LEVELS)
    return Prediction(text, 0.5, maps={"image": image})


def test_the_pointing_game_is_played_by_each_level_and_by_their_mean(record: VQARecord) -> None:
    found = grounding([record], {7: looked("red", [0.0, 1.0], [0.7, 0.3])})
    assert (found["pointing/word"], found["pointing/question"], found["pointing"]) == (0, 100, 0)
    found = grounding([record], {7: looked("red", [0.4, 0.6], [0.9, 0.1])})
    assert (found["pointing/word"], found["pointing/question"], found["pointing"]) == (0, 100, 100)


def test_questions_about_several_objects_or_none_do_not_point(record: VQARecord) -> None:
    prediction = {7: looked("red", [1.0, 0.0], [1.0, 0.0])}
    for focus in ((), (LEFT, RIGHT)):
        other = VQARecord(record.image, 1, record.question, 7, record.answers, focus=focus)
        assert grounding([other], prediction) == {}
        found = score([other], prediction)
        assert found["accuracy"] == 100
        assert not any(name.startswith(("pointing", "accuracy/")) for name in found)


def test_a_model_that_does_not_look_is_scored_by_its_answers_alone(record: VQARecord) -> None:
    found = score([record], {7: Prediction("blue", 0.5)})
    assert (found["accuracy"], found["accuracy/colour"], found["Brier score"]) == (0, 0, 25)
    assert not any(name.startswith("pointing") for name in found)


def test_answers_and_looks_are_scored_together_with_any_measure(record: VQARecord) -> None:
    scores = score([record], {7: looked("red", [1.0, 0.0], [1.0, 0.0])}, {"length": lambda text, _: len(text) / 10})
    assert scores["length"] == scores["length/colour"] == pytest.approx(30)
    assert scores["pointing"] == 100


def test_every_question_of_a_loader_is_answered_and_scored(scenes: str) -> None:
    made, source = recipes.attached(scenes)
    recipes.overfit(made, next(iter(source.test_dataloader())))
    made.train()
    predictions = answer_all(made, source.test_dataloader())
    assert not made.training
    records = source.records("test")
    assert set(predictions) == {record.question_id for record in records}
    scores = score(records, predictions)
    assert {"accuracy", "pointing", "pointing/word", "pointing/phrase", "pointing/question"} <= set(scores)
    assert all(0 <= value <= 100 for name, value in scores.items() if name.startswith(("accuracy", "pointing")))
    assert {f"accuracy/{name}" for record in records for name in record.types} <= set(scores)


def test_what_challenges_ask_for_is_scored_where_the_records_have_it(record: VQARecord) -> None:
    entailed = replace(record, question_id=8, types=(), scoring=Scoring(None, (7,), ("red", "blue"), ("red",)))
    scores = score([record, entailed], {7: Prediction("red", 0.5), 8: Prediction("red", 0.9)})
    assert (scores["consistency"], scores["validity"], scores["plausibility"]) == (100, 100, 100)
    clear, blurred = (replace(record, question_id=n, scoring=Scoring(answerable=n == 8)) for n in (8, 9))
    unsure = Prediction("red", 0.5, (Prediction("unanswerable", 0.4),))
    scores = score([clear, blurred], {8: unsure, 9: Prediction("unanswerable", 1.0000001)})
    assert (scores["unanswerable/average precision"], scores["unanswerable/F1"]) == (100, 100)


def test_choices_are_ranked_where_the_model_has_scored_them(record: VQARecord) -> None:
    asked = [
        replace(
            record,
            question_id=1,
            answers=("no",),
            choices=("no.", " no ", "yes"),
            scoring=Scoring(relevance=(0.5, 1.0, 0.0)),
        ),
        replace(record, question_id=2, answers=("red",), choices=("red", "blue")),
        replace(record, question_id=3, answers=("green",), choices=("red", "blue")),  # the truth is not on offer
        replace(record, question_id=4),
    ]
    scores = {1: (0.9, 0.5, 0.1), 2: (2.0, -1.0), 3: (0.0, 1.0), 4: ()}
    found = ranking(asked, {key: Prediction("red", 0.5, choice_scores=each) for key, each in scores.items()})
    second = 1 / math.log2(3)  # what the second place counts
    ndcg = 100 * (0.5 + second) / (1 + 0.5 * second)
    assert found == pytest.approx({"R@1": 50, "MRR": 75, "mean rank": 1.5, "NDCG": ndcg})
    assert ranking(asked, {key: Prediction("red", 0.5) for key in scores}) == {}


def test_rephrasings_and_groups_of_answers_are_scored_where_the_records_have_them(record: VQARecord) -> None:
    grouped = replace(record, scoring=Scoring(group="colour"))
    scores = score([grouped], {7: looked("red", [0.25, 0.75], [0.75, 0.25])})
    assert (scores["distribution"], scores["grounding"]) == (0, pytest.approx(50))
    again = replace(record, question_id=8, scoring=Scoring(rephrases=7))
    lonely = replace(record, question_id=9, scoring=Scoring(rephrases=99))  # the question it rephrases is not asked
    scores = score([record, again, lonely], {key: Prediction("red", 0.5) for key in (7, 8, 9)})
    assert (scores["CS(1)"], scores["CS(2)"]) == (100, 100)
    assert "CS(1)" not in score([record, lonely], {key: Prediction("red", 0.5) for key in (7, 9)})


def test_a_confidence_that_is_no_number_is_told(record: VQARecord) -> None:
    with pytest.raises(DataError, match="such as nan of answer 1"):
        score([record], {7: Prediction("red", float("nan"))})
