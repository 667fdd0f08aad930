from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.data.readers import Visual7WQuestions
from common.data.records import NamedBox, VQARecord
from common.errors import ConfigError, DataError


def pair(qa_id: int = 5, **more: Any) -> dict[str, Any]:
    wrong = ["At night.", "In the rain.", "Dusk."]
    texts = {"question": "When was this taken?", "answer": "During the day.", "multiple_choices": wrong}
    return {"qa_id": qa_id, "image_id": 2, "type": "when"} | texts | more


def document(*images: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": "visual7w-telling", "images": list(images)}


def image(*pairs: dict[str, Any], split: str = "train", **more: Any) -> dict[str, Any]:
    return {"image_id": 2, "split": split, "filename": "v7w_2.jpg", "qa_pairs": list(pairs)} | more


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for name in ("v7w_2.jpg", "v7w_3.jpg"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    return str(tmp_path)


def test_the_questions_of_a_split_have_four_choices_in_alphabetical_order(pictures: str, write: Any) -> None:
    other = image(pair(6), split="val", filename="v7w_3.jpg", image_id=3)
    path = write("dataset_v7w_telling.json", document(image(pair()), other))
    assert Visual7WQuestions(path, pictures, "train").read() == [
        VQARecord(
            Path(pictures, "v7w_2.jpg"),
            2,
            "When was this taken?",
            5,
            ("During the day.",),
            ("when",),
            choices=("At night.", "During the day.", "Dusk.", "In the rain."),
        )
    ]
    assert [record.question_id for record in Visual7WQuestions(path, pictures, "val").read()] == [6]


def test_groundings_show_what_the_answer_names_in_fractions_of_the_picture(pictures: str, write: Any) -> None:
    box = {"qa_id": 5, "name": "day", "x": 5, "y": 0, "width": 10, "height": 10, "box_id": 1}
    files = {"groundings": write("v7w_telling_answers.json", {"boxes": [box]})}
    path = write("v7w.json", document(image(pair(), pair(6))))
    first, second = Visual7WQuestions(path, pictures, "train", **files).read()
    assert first.boxes == first.focus == (NamedBox((0.25, 0.0, 0.75, 1.0), "day"),)
    assert second.focus == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (document(image(pair(), pair())), "has the question 5 twice"),
        (document(image(pair(question=""))), "question 5 is empty"),
        (document(image(pair(multiple_choices="x"))), "'multiple_choices' is 'x' where a list of texts is wanted"),
        (document(image(pair(answer=""))), "question 5: the answer is empty"),
        (document(image({"qa_id": 5})), r"v7w_2.jpg: qa_pairs\[0\] has no 'question', 'answer', 'type'"),
        (document(image(pair(), filename="gone.jpg")), "names the image .*gone.jpg, which is not there"),
        (document(), "holds a JSON object of an unknown kind"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(content: Any, message: str, pictures: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        Visual7WQuestions(write("v7w.json", content), pictures, "train").read()


def test_a_split_that_is_not_there_is_told_with_those_that_are(pictures: str, write: Any) -> None:
    with pytest.raises(ConfigError, match="has no split 'dev'; it has train, val"):
        Visual7WQuestions(write("v7w.json", document(image(), image(split="val"))), pictures, "dev").read()
