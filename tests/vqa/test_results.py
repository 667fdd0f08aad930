"""The files that evaluation servers take: their names of things, whole sets of ids, ids of their own types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.data.records import Prediction, VQARecord
from common.errors import DataError
from vqa.results import write_answers, write_for_server, write_ranks


@pytest.mark.parametrize(
    ("form", "answers", "written"),
    [
        ("vqa", {42: "red"}, '[{"question_id": 42, "answer": "red"}]'),
        ("vizwiz", {"VizWiz_test_00000000.jpg": "red"}, '[{"image": "VizWiz_test_00000000.jpg", "answer": "red"}]'),
        ("gqa", {"0123": "red"}, '[{"questionId": "0123", "prediction": "red"}]'),
    ],
)
def test_each_server_gets_its_own_names_and_ids_stay_what_they_are(
    form: Any, answers: dict[Any, str], written: str, tmp_path: Path
) -> None:
    write_answers(tmp_path / "results.json", answers, list(answers), form)
    assert (tmp_path / "results.json").read_text() == written


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({1: "a"}, r"results.json: 6 of 7 ids are missing: 2, 3, 4, 5, 6, ...$"),
        (dict.fromkeys(range(1, 7), "a"), "1 of 7 ids are missing: 7$"),
        ({str(number): "a" for number in range(1, 8)}, "7 of 7 ids are missing: 1, 2, 3"),  # text is no number
        (dict.fromkeys(range(1, 10), "a"), "2 ids are not of this data set: 8, 9$"),
    ],
)
def test_missing_ids_are_named_and_nothing_is_written(answers: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        write_answers(tmp_path / "results.json", answers, range(1, 8))
    assert list(tmp_path.iterdir()) == []


def asked(question_id: int | str = "42-3", choices: tuple[str, ...] = ("yes", "no", "maybe")) -> VQARecord:
    return VQARecord(Path("a.jpg"), 42, "is it red", question_id, choices=choices)


def test_choices_are_ranked_from_one_and_equal_ones_keep_their_order(tmp_path: Path) -> None:
    scores = {"42-3": [0.1, 0.7, 0.1], "42-10": [0.0, 0.5, 0.9]}
    write_ranks(tmp_path / "ranks.json", scores, [asked(), asked("42-10")])
    assert json.loads((tmp_path / "ranks.json").read_text()) == [
        {"image_id": 42, "round_id": 3, "ranks": [2, 1, 3]},
        {"image_id": 42, "round_id": 10, "ranks": [3, 2, 1]},
    ]


def test_a_server_gets_ranks_or_answers(tmp_path: Path) -> None:
    predictions = {"42-3": Prediction("no", 0.6, choice_scores=(0.1, 0.7, 0.1))}
    written = {
        "visdial": {"image_id": 42, "round_id": 3, "ranks": [2, 1, 3]},
        "gqa": {"questionId": "42-3", "prediction": "no"},
    }
    for form, entry in written.items():
        write_for_server(tmp_path / "results.json", predictions, [asked()], form)  # type: ignore[arg-type]
        assert json.loads((tmp_path / "results.json").read_text()) == [entry]


@pytest.mark.parametrize(
    ("scores", "record", "message"),
    [
        ({}, asked(), "1 of 1 ids are missing: '42-3'"),
        (
            {"42-3": [1.0, 2.0]},
            asked(),
            "round '42-3' offers 3 answers, which need as many scores that are numbers, not 2",
        ),
        ({"42-3": [1.0, 2.0, float("nan")]}, asked(), "as many scores that are numbers"),
        ({"42-3": []}, asked(choices=()), "offers no answers: read them with `choices: true`"),
        ({7: [1.0, 2.0, 3.0]}, asked(7), "question 7 is no round of a dialogue, such as '42-3'"),
    ],
)
def test_ranks_that_no_server_would_take_are_told_and_not_written(
    scores: Any, record: VQARecord, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        write_ranks(tmp_path / "ranks.json", scores, [record])
    assert list(tmp_path.iterdir()) == []
