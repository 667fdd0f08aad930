from pathlib import Path
from typing import Any

import pytest

from common.data.readers import DaquarQuestions, VQAQuestions
from common.data.records import NamedBox, VQARecord
from common.errors import DataError


def asked(
    question_id: int = 420, image_id: int | str = 42, question: str = "What is it?", **more: Any
) -> dict[str, Any]:
    return {"question_id": question_id, "image_id": image_id, "question": question} | more


def answered(question_id: int = 420, *answers: str, **more: Any) -> dict[str, Any]:
    given = [{"answer_id": index, "answer": answer, "answer_confidence": "yes"} for index, answer in enumerate(answers)]
    types = {"question_type": "what is", "answer_type": "other", "multiple_choice_answer": "dog"}
    return {"question_id": question_id, "image_id": 42, "answers": given} | types | more


def questions(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"data_type": "mscoco", "data_subtype": "val2014", "questions": list(entries)} | more


def test_questions_come_with_their_answers_in_the_order_of_the_questions(images: str, write: Any) -> None:
    path = write("q.json", questions(asked(421, 42, " Is it\nred? "), asked(420)))
    annotations = write("a.json", {"annotations": [answered(420, "dog", "cat"), answered(421, "yes")]})
    image, types = Path(images, "COCO_val2014_000000000042.jpg"), ("what is", "other")
    assert VQAQuestions(path, images, annotations).read() == [
        VQARecord(image, 42, "Is it red?", 421, ("yes",), types),
        VQARecord(image, 42, "What is it?", 420, ("dog", "cat"), types),
    ]


def test_without_annotations_there_are_no_answers(images: str, write: Any) -> None:
    assert VQAQuestions(write("q.json", questions(asked())), images).read()[0].answers == ()


@pytest.mark.parametrize(
    ("image_id", "subtype", "name"),
    [
        (42, "val2014", "COCO_val2014_000000000042.jpg"),
        (9, "val2014", "COCO_val2014_000000000009.jpg"),  # rather than 2017's name, which is there too
        (9, "train2014", "000000000009.jpg"),
    ],
)
def test_images_are_called_as_coco_calls_them(image_id: int, subtype: str, name: str, images: str, write: Any) -> None:
    path = write("q.json", questions(asked(image_id=image_id), data_subtype=subtype))
    assert VQAQuestions(path, images).read()[0].image == Path(images, name)


def test_the_images_of_test_dev_are_those_of_test(images: str, write: Any) -> None:
    Path(images, "COCO_test2015_000000000001.jpg").touch()
    path = write("q.json", questions(asked(image_id=1), data_subtype="test-dev2015"))
    assert VQAQuestions(path, images).read()[0].image.name == "COCO_test2015_000000000001.jpg"


def test_a_list_of_images_gives_names_boxes_and_focus(images: str, write: Any) -> None:
    boxes = [{"bbox": [0, 0, 5, 10], "name": "cube"}, {"bbox": [5, 0, 5, 10], "name": "ball", "attributes": ["red"]}]
    image = {"id": "s1", "file_name": "val2014/a.jpg", "width": 10, "height": 10, "boxes": boxes}
    annotations = {"images": [image], "annotations": [answered(420, "red", focus=[1])]}
    source = VQAQuestions(write("q.json", questions(asked(image_id="s1"))), images, write("a.json", annotations))
    ball = NamedBox((0.5, 0.0, 1.0, 1.0), "ball", ("red",))
    record = source.read()[0]
    assert record.image == Path(images, "val2014/a.jpg")
    assert record.boxes == (NamedBox((0.0, 0.0, 0.5, 1.0), "cube"), ball)
    assert record.focus == (ball,)


def test_a_rephrasing_tells_what_it_rephrases(images: str, write: Any) -> None:
    given = questions(asked(42), asked(421, rephrasing_of=42))
    original, rephrased = VQAQuestions(write("q.json", given), images).read()
    assert (original.scoring.rephrases, rephrased.scoring.rephrases) == (None, 42)


@pytest.mark.parametrize(
    ("given", "annotations", "message"),
    [
        (questions(asked(question="")), None, "question 420 is empty"),
        (questions({"question": "What?"}), None, r"questions\[0\] has no 'question_id', 'image_id'"),
        (questions(asked(), asked()), None, "has the question 420 twice"),
        (questions(asked(rephrasing_of=[1])), None, r"is a rephrasing_of \[1\], which is no question's id"),
        (
            questions(asked(image_id=1)),
            None,
            r"question 420 names the image .*COCO_val2014_000000000001.jpg, which is not",
        ),
        (questions(asked(image_id="x")), None, "image id 'x' where COCO has a whole number"),
        ({"questions": [asked()]}, None, "has no 'data_subtype'"),
        ({"annotations": [answered()]}, None, "holds VQA annotations, but VQA questions is wanted here"),
        (questions(asked()), questions(asked()), "holds VQA questions, but VQA annotations is wanted here"),
        (
            questions(asked(1), asked(2)),
            {"annotations": [answered(1)]},
            "question 2 is in .*q.json but not in .*a.json",
        ),
        (
            questions(asked(1)),
            {"annotations": [answered(1), answered(2)]},
            "question 2 is in .*a.json but not in .*q.json",
        ),
        (questions(asked()), {"annotations": [answered()] * 2}, "a.json has the question 420 twice"),
        (questions(asked()), {"annotations": [answered(answers=["dog"])]}, "answers that are not a list of objects"),
        (questions(asked()), {"annotations": [answered(focus=[0])]}, r"has the focus \[0\], but its image has 0 boxes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    given: Any, annotations: Any, message: str, images: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        VQAQuestions(write("q.json", given), images, annotations and write("a.json", annotations)).read()


TRIPLES = "what is on the desk ?\nbook,scissor ,  papers\nimage3\nhow many chairs ?\n2\nimage4\n"


def test_daquars_lines_and_json_are_the_same_and_a_list_is_one_answer(images: str, write: Any) -> None:
    expected = [
        VQARecord(Path(images, "image3.jpg"), "image3", "what is on the desk ?", 0, ("book, scissor, papers",)),
        VQARecord(Path(images, "image4.png"), "image4", "how many chairs ?", 1, ("2",)),
    ]
    entries = [
        {"question": "what is on the desk ?", "answer": "book, scissor, papers", "image": "image3.jpg"},
        {"question": "how many chairs ?", "answer": "2", "image": "image4"},
    ]
    assert DaquarQuestions(write("qa.format_triple", TRIPLES), images).read() == expected
    assert DaquarQuestions(write("qa.json", entries), images).read() == expected


def test_daquars_lists_may_be_left_out_or_split_and_the_other_ids_stay(images: str, write: Any) -> None:
    path = write("qa.format_triple", TRIPLES)
    *_, single = DaquarQuestions(path, images).read()
    assert DaquarQuestions(path, images, lists="left out").read() == [single]
    *things, last = DaquarQuestions(path, images, lists="split").read()
    assert last == single
    assert [(record.question_id, record.answers) for record in things] == [
        ("0.0", ("book",)),
        ("0.1", ("scissor",)),
        ("0.2", ("papers",)),
    ]
    assert {(record.image_id, record.question) for record in things} == {("image3", "what is on the desk ?")}


def test_daquars_two_lines_name_the_image_at_the_end_of_the_question(images: str, write: Any) -> None:
    questions = ("what is on the desk in the image3 ?", "how many chairs are in image4?", "what is it image3 ?")
    lines = "".join(f"{question}\nbook,scissor\n" for question in questions)
    records = DaquarQuestions(write("qa.37.raw.test.txt", lines), images).read()
    assert [record.question for record in records] == ["what is on the desk ?", "how many chairs are ?", "what is it ?"]
    assert [record.image_id for record in records] == ["image3", "image4", "image3"]
    assert {record.answers for record in records} == {("book, scissor",)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("qa.txt", "what in the image3 ?\ndesk\nwhat ?\ndesk\n", "line 3 does not end in the name of an image"),
        ("qa.txt", "what in the image3 ?\ndesk\nwhat in the image4 ?\n", "has 3 lines, not two for each question"),
        ("qa.txt", "what ?\ndesk\nimage3\nwhat ?\ndesk\n", "has 5 lines, not three for each question: is it cut off?"),
        ("qa.txt", "", "not three for each question"),
        ("qa.txt", "\ndesk\nimage3\n", "line 1: the question is empty"),
        ("qa.txt", "what ?\n\nimage3\n", "line 1: the answer is empty"),
        ("qa.txt", "what ?\ndesk\nimage9\n", r"line 1 names the image .*image9.jpg, which is not there"),
        ("qa.json", {"questions": []}, "is not a list of questions"),
        ("qa.json", [{"question": "what ?", "answer": "desk"}], r"\[0\] has no 'image'"),
    ],
)
def test_what_is_wrong_in_daquars_file_is_told_with_its_place(
    name: str, content: Any, message: str, images: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        DaquarQuestions(write(name, content), images).read()
