"""VQA-CP, OK-VQA, VizWiz and COCO-QA, in small files of their true form."""

from pathlib import Path
from typing import Any

import pytest

from common.data.readers import CocoQAQuestions, OKVQAQuestions, VizWizQuestions, VQACPQuestions, VQAQuestions
from common.data.records import Scoring, VQARecord
from common.errors import DataError

IMAGE = "COCO_val2014_000000000042.jpg"


def ten(answer: str, **more: str) -> list[dict[str, Any]]:
    return [{"answer_id": index, "answer": answer, "answer_confidence": "yes"} | more for index in range(1, 11)]


def cp_question(question_id: int = 420, **more: Any) -> dict[str, Any]:
    return {"image_id": 42, "question": "What is it?", "question_id": question_id, "coco_split": "val2014"} | more


def cp_annotation(question_id: int = 420, **more: Any) -> dict[str, Any]:
    given = {"answers": ten("dog"), "multiple_choice_answer": "dog", "image_id": 42, "coco_split": "val2014"}
    return {"question_id": question_id, "question_type": "what is", "answer_type": "other"} | given | more


def test_vqa_cps_lists_name_the_coco_split_of_each_image(images: str, write: Any) -> None:
    Path(images, "train2014").mkdir()
    Path(images, "train2014/COCO_train2014_000000000001.jpg").touch()
    asked = [cp_question(), cp_question(10, image_id=1, coco_split="train2014")]
    source = VQACPQuestions(write("q.json", asked), write("a.json", [cp_annotation(10), cp_annotation()]), images)
    first, second = source.read()
    types = ("what is", "other")
    assert first == VQARecord(Path(images, IMAGE), 42, "What is it?", 420, ("dog",) * 10, types)
    assert second.image == Path(images, "train2014/COCO_train2014_000000000001.jpg")


@pytest.mark.parametrize(
    ("asked", "answered", "message"),
    [
        ({"questions": [cp_question()]}, [cp_annotation()], "q.json holds VQA questions, but VQA-CP questions or"),
        ([cp_question()], [cp_annotation(1)], "question 420 is in .*q.json but not in .*a.json: give two files of one"),
        ([cp_question()] * 2, [cp_annotation()], "q.json has the question 420 twice"),
        ([cp_question(coco_split="test2015")], [cp_annotation()], "COCO_test2015_000000000042.jpg, which is not there"),
        (
            [cp_question(), {"coco_split": "val2014"}],
            [cp_annotation()],
            r"q.json\[1\] has no 'question_id', 'question'",
        ),
        ([cp_question(), "?"], [cp_annotation()], r"q.json\[1\] is a str where an object is wanted"),
        ([cp_question(question=" ")], [cp_annotation()], "question 420 is empty"),
        (
            [cp_question()],
            [cp_annotation(answers="dog")],
            "answers that are not a list of objects with the key 'answer'",
        ),
        ([cp_question()], [cp_annotation(answers=ten(3))], "has the answer 3, which is not text"),  # type: ignore[arg-type]
        ([], [], "q.json holds a JSON list, but VQA-CP"),
    ],
)
def test_what_is_wrong_in_vqa_cp_is_told(asked: Any, answered: Any, message: str, images: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        VQACPQuestions(write("q.json", asked), write("a.json", answered), images).read()


def ok_files(write: Any, **more: Any) -> tuple[str, str]:
    asked = {"question_id": 420, "image_id": 42, "question": "What sport can you use this for?"}
    questions = {"data_type": "mscoco", "data_subtype": "val2014", "questions": [asked]}
    annotation = {"image_id": 42, "answer_type": "other", "question_type": "four", "question_id": 420, "confidence": 3}
    types = {"one": "Vehicles and Transportation", "four": "Sports and Recreation"}
    annotations = {"annotations": [annotation | {"answers": ten("race", raw_answer="racing")}], "question_types": types}
    return write("q.json", questions), write("a.json", annotations | more)


def test_ok_vqas_answers_are_stemmed_or_raw_and_its_fields_of_knowledge_are_named(images: str, write: Any) -> None:
    questions, annotations = ok_files(write)
    (stemmed,) = OKVQAQuestions(questions, images, annotations).read()
    (raw,) = OKVQAQuestions(questions, images, annotations, raw=True).read()
    assert stemmed.answers == ("race",) * 10
    assert raw.answers == ("racing",) * 10
    assert stemmed.types == raw.types == ("Sports and Recreation",)
    assert OKVQAQuestions(questions, images).read()[0].types == ()


def test_a_field_of_knowledge_without_a_name_and_answers_without_a_raw_text_are_told(images: str, write: Any) -> None:
    questions, annotations = ok_files(write, question_types={"one": "Vehicles and Transportation"})
    with pytest.raises(
        DataError, match=r"question 420 has the question_type 'four', which .*a.json does not list by name"
    ):
        OKVQAQuestions(questions, images, annotations).read()
    plain = {"question_id": 420, "question_type": "four", "answers": ten("race")}
    with pytest.raises(DataError, match="objects with the key 'raw_answer'"):
        OKVQAQuestions(questions, images, write("v.json", {"annotations": [plain]}), raw=True).read()


def vizwiz(image: str = "a.jpg", **more: Any) -> dict[str, Any]:
    answers = [{"answer_confidence": "maybe", "answer": "basil leaves"}] * 9
    nothing = [{"answer_confidence": "no", "answer": "unanswerable"}]
    given = {"image": image, "question": "What's the name of this product?", "answers": answers + nothing}
    return given | {"answer_type": "other", "answerable": 1} | more


def test_vizwizs_questions_are_named_by_their_images_and_say_whether_there_is_an_answer(
    images: str, write: Any
) -> None:
    listed = [vizwiz(), vizwiz("b.jpg", answerable=0, answer_type="unanswerable")]
    first, second = VizWizQuestions(write("train.json", listed), images).read()
    assert first == VQARecord(
        Path(images, "a.jpg"),
        "a.jpg",
        "What's the name of this product?",
        "a.jpg",
        ("basil leaves",) * 9 + ("unanswerable",),
        ("other",),
        scoring=Scoring(answerable=True),
    )
    assert (second.types, second.scoring.answerable) == (("unanswerable",), False)
    (hidden,) = VizWizQuestions(write("test.json", [{"image": "b.jpg", "question": "Is it on?"}]), images).read()
    assert (hidden.answers, hidden.types, hidden.scoring) == ((), (), Scoring())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([vizwiz(answerable=2)], "the question about a.jpg has 'answerable': 2, which is neither 0 nor 1"),
        ([vizwiz(), vizwiz()], "has the image 'a.jpg' twice"),
        ([vizwiz("gone.jpg")], "names the image .*gone.jpg, which is not there"),
        ([vizwiz(question="")], "the question about a.jpg is empty"),
        ([vizwiz(answers=[{"text": "x"}])], "a list of objects with the key 'answer'"),
        ({"images": []}, "holds a JSON object of an unknown kind .* but VizWiz questions is wanted"),
        ('[{"image": "a.jpg", "quest', "train.json is not JSON: .*cut off"),
    ],
)
def test_what_is_wrong_in_vizwiz_is_told(content: Any, message: str, images: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        VizWizQuestions(write("train.json", content), images).read()


def coco_qa(folder: Path, **changed: str) -> str:
    columns = {"questions": "what is on the sofa\nhow many dogs are there\n", "answers": "dog\ntwo\n"}
    for name, text in (columns | {"img_ids": "42\n9\n", "types": "0\n1\n"} | changed).items():
        (folder / f"{name}.txt").write_text(text)
    return str(folder)


def test_coco_qas_four_files_are_read_line_by_line(images: str, tmp_path: Path) -> None:
    assert CocoQAQuestions(coco_qa(tmp_path), images).read() == [
        VQARecord(Path(images, IMAGE), 42, "what is on the sofa", 0, ("dog",), ("object",)),
        VQARecord(
            Path(images, "COCO_val2014_000000000009.jpg"), 9, "how many dogs are there", 1, ("two",), ("number",)
        ),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answers": "dog\n"}, r"differ in their numbers of lines \(2 in questions.txt, 1 in answers.txt, .*cut off"),
        ({"types": "0\n4\n"}, "line 2 of types.txt is 4, which is no type from 0 to 3"),
        ({"img_ids": "42\nx\n"}, "line 2 of img_ids.txt is 'x' where a number is wanted"),
        ({"img_ids": "42\n1\n"}, "line 2 names the image .*COCO_train2014_000000000001.jpg, which is not there"),
        ({"answers": "dog\n \n."}, "differ in their numbers of lines"),
        ({"questions": "\nhow many\n"}, "line 1: the question is empty"),
    ],
)
def test_what_is_wrong_in_coco_qa_is_told(changed: dict[str, str], message: str, images: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        CocoQAQuestions(coco_qa(tmp_path, **changed), images).read()


def test_vqa_v1s_choices_and_abstract_scenes_are_read(images: str, write: Any) -> None:
    Path(images, "abstract_v002_val2015_000000000042.png").touch()
    asked = {"question_id": 420, "image_id": 42, "question": "What is it?", "multiple_choices": ["dog", "cat"]}
    document = {"data_type": "abstract_v002", "data_subtype": "val2015", "questions": [asked]}
    (record,) = VQAQuestions(write("q.json", document), images).read()
    assert record.choices == ("dog", "cat")
    assert record.image.name == "abstract_v002_val2015_000000000042.png"
