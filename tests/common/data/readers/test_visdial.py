from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.data.readers import VisDialQuestions
from common.data.records import Scoring, VQARecord
from common.errors import DataError

QUESTIONS, ANSWERS = ["is it sunny", "any people ?"], ["yes", "no", "2 men"]


def turn(question: int = 0, **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": 0, "gt_index": 1, "answer_options": [1, 0, 2]} | more


SECOND = turn(1, answer=2, gt_index=2)


def document(*turns: Any, split: str = "val", **more: Any) -> dict[str, Any]:
    dialogue = {"image_id": 42, "caption": "a dog on a lawn", "dialog": list(turns)} | more
    return {
        "version": "1.0",
        "split": split,
        "data": {"dialogs": [dialogue], "questions": QUESTIONS, "answers": ANSWERS},
    }


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for name in ("VisualDialog_val2018_000000000042.jpg", "train2014/COCO_train2014_000000000042.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return str(tmp_path)


def test_each_round_is_a_question_with_the_caption_and_the_earlier_rounds_as_facts(pictures: str, write: Any) -> None:
    dense = [{"image_id": 42, "round_id": 2, "gt_relevance": [0, 0.5, 1.0]}]
    path = write("visdial_1.0_val.json", document(turn(), SECOND))
    options = ("no", "yes", "2 men")
    image = Path(pictures, "VisualDialog_val2018_000000000042.jpg")
    facts = ("a dog on a lawn", "is it sunny? yes")
    assert VisDialQuestions(path, pictures, write("dense.json", dense)).read() == [
        VQARecord(image, 42, "is it sunny", "42-1", ("yes",), facts=facts[:1], choices=options),
        VQARecord(
            image,
            42,
            "any people ?",
            "42-2",
            ("2 men",),
            facts=facts,
            choices=options,
            scoring=Scoring(relevance=(0.0, 0.5, 1.0)),
        ),
    ]


def test_training_pictures_are_cocos_and_their_relevance_is_called_otherwise(pictures: str, write: Any) -> None:
    dense = write("dense.json", [{"image_id": 42, "round_id": 1, "relevance": [0.0, 1.0, 0.0]}])
    path = write("train.json", document(turn(), split="train"))
    (record,) = VisDialQuestions(path, pictures, dense, choices=False).read()
    assert record.image == Path(pictures, "train2014/COCO_train2014_000000000042.jpg")
    assert record.choices == ()
    assert record.scoring.relevance == (0.0, 1.0, 0.0)


def test_only_the_last_round_of_a_test_dialogue_is_asked(pictures: str, write: Any) -> None:
    last = {"question": 1, "answer_options": [0, 1, 2]}
    path = write("test.json", document({"question": 0, "answer": 1}, last, split="test"))
    (record,) = VisDialQuestions(path, pictures).read()
    assert (record.question_id, record.answers, record.choices) == ("42-2", (), tuple(ANSWERS))
    assert record.facts == ("a dog on a lawn", "is it sunny? no")


@pytest.mark.parametrize(
    ("content", "dense", "message"),
    [
        (
            document(turn(7)),
            None,
            "image 42, round 1 has the place 7, which the file's list of questions does not have",
        ),
        (document(turn(-1)), None, "has the place -1"),
        (document(turn(answer=9)), None, "has the place 9, which the file's list of answers"),
        (
            document(turn(answer_options=[0, 9])),
            None,
            "answer_options that are not places in the file's list of answers",
        ),
        (document(turn(answer_options=[0, -1])), None, "answer_options that are not places"),
        (document(turn(answer_options=3)), None, "answer_options that are not places"),
        (document(turn(gt_index=0)), None, r"has the answer 'yes', which is not its option number 0 \(gt_index\)"),
        (document({"answer": 0}), None, r"dialog\[0\] has no 'question'"),
        (document(turn(), caption=" "), None, "image 42: the caption is empty"),
        (document(turn(), image_id=43), None, "names the image .*VisualDialog_val2018_000000000043.jpg, which is not"),
        (document(turn(), image_id="42"), None, "has the image id '42' where COCO has a whole number"),
        (
            {"data": {"dialogs": [{"dialog": []}], "questions": [3], "answers": []}},
            None,
            "'questions' is not a list of texts",
        ),
        ({"data": {"dialogs": []}}, None, "holds a JSON object of an unknown kind"),
        (
            document(turn()),
            [{"image_id": 42, "round_id": 1, "gt_relevance": [1.0]}],
            "has 3 options, but 1 in .*d.json",
        ),
        (
            document(turn()),
            [{"image_id": 42, "round_id": 4, "gt_relevance": []}],
            "is about round 42-4, which .* not ask",
        ),
        (document(turn()), [{"image_id": 42, "round_id": 1}], r"d.json: \[0\] has no list of numbers 'gt_relevance'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    content: Any, dense: Any, message: str, pictures: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        VisDialQuestions(write("v.json", content), pictures, dense and write("d.json", dense)).read()
