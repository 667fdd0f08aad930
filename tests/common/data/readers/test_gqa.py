from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.data.readers import GQAQuestions
from common.data.records import NamedBox, Scoring, VQARecord
from common.errors import DataError

TYPES = {"detailed": "relS", "semantic": "rel", "structural": "query"}


def question(image: str = "2405722", **more: Any) -> dict[str, Any]:
    """An entry as the published files have it."""
    return {
        "semantic": [{"operation": "select", "dependencies": [], "argument": "wall (5)"}],
        "entailed": ["02", "01"],
        "equivalent": ["01"],
        "question": "What is on the white wall?",
        "imageId": image,
        "isBalanced": True,
        "groups": {"global": "thing", "local": "06-wall_on,s"},
        "answer": "pipe",
        "semanticStr": "select: wall (5)",
        "annotations": {"answer": {"0": "11"}, "question": {"4:6": "12"}, "fullAnswer": {"1": "11", "6": "12"}},
        "types": TYPES,
        "fullAnswer": "The pipe is on the wall.",
    } | more


def graph() -> dict[str, Any]:
    pipe = {"name": "pipe", "x": 10, "y": 20, "w": 30, "h": 40, "attributes": ["long"], "relations": [{"object": "12"}]}
    wall = {"name": "wall", "x": 0, "y": 0, "w": 100, "h": 200, "attributes": [], "relations": []}
    return {"2405722": {"width": 100, "height": 200, "location": "kitchen", "objects": {"11": pipe, "12": wall}}}


PIPE = NamedBox((0.1, 0.1, 0.4, 0.3), "pipe", ("long",))
WALL = NamedBox((0.0, 0.0, 1.0, 1.0), "wall")


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for name in ("2405722.jpg", "n1.jpg"):
        (tmp_path / name).touch()
    return str(tmp_path)


def test_questions_are_read_by_their_ids_with_objects_and_what_the_official_scores_need(
    pictures: str, write: Any
) -> None:
    asked = {
        "01": question(),
        "02": question("n1", types=TYPES | {"structural": "verify"}, annotations={}, entailed=[]),
    }
    graphs = graph() | {"n1": {"width": 5, "height": 5, "objects": {}}}
    choices = {key: {"valid": ["pipe", "clock"], "plausible": ["clock"]} for key in asked}
    files = {"scene_graphs": write("graphs.json", graphs), "choices": write("choices.json", choices)}
    first, second = GQAQuestions(write("q.json", asked), pictures, **files).read()
    assert first == VQARecord(
        Path(pictures, "2405722.jpg"),
        "2405722",
        "What is on the white wall?",
        "01",
        ("pipe",),
        ("open", "query", "rel"),
        boxes=(PIPE, WALL),
        focus=(WALL, PIPE),  # each once, those of the question first
        scoring=Scoring(
            None, ("02",), ("pipe", "clock"), ("clock",), group="thing"
        ),  # a question does not entail itself
    )
    assert second.types == ("binary", "verify", "rel")
    assert (second.boxes, second.focus, second.scoring.entailed) == ((), (), ())


def test_the_test_splits_have_questions_and_images_alone(pictures: str, write: Any) -> None:
    asked = {"01": {"question": "Is it red?", "imageId": "n1", "isBalanced": True}}
    (record,) = GQAQuestions(write("q.json", asked), pictures).read()
    assert record == VQARecord(Path(pictures, "n1.jpg"), "n1", "Is it red?", "01")


def test_a_folder_of_files_is_one_split(pictures: str, write: Any, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    write("all/train_all_questions_0.json", {"01": question()})
    write("all/train_all_questions_1.json", {"02": question()})
    records = GQAQuestions(str(tmp_path / "all"), pictures).read()
    assert [record.question_id for record in records] == ["01", "02"]
    write("all/train_all_questions_2.json", {"02": question()})
    with pytest.raises(DataError, match=r"questions_2.json has the entry '02' of another file in that folder"):
        GQAQuestions(str(tmp_path / "all"), pictures).read()
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"the folder .*none has no JSON files in it"):
        GQAQuestions(str(tmp_path / "none"), pictures).read()


def test_what_two_things_have_in_common_is_a_color_material_or_shape(pictures: str, write: Any) -> None:
    asked = {"01": question(types=TYPES | {"detailed": "twoCommon"})}
    choices = write("choices.json", {"01": {"valid": ["pipe"], "plausible": ["pipe"]}})
    (record,) = GQAQuestions(write("q.json", asked), pictures, choices=choices).read()
    assert record.scoring.valid == record.scoring.plausible == ("color", "material", "shape")


@pytest.mark.parametrize(
    ("asked", "graphs", "choices", "message"),
    [
        ({"01": question(question="")}, None, None, "question 01 is empty"),
        ({"01": question(), "02": {"imageId": "n1"}}, None, None, "question 02 has no 'question'"),
        ({"01": question("gone")}, None, None, "question 01 names the image .*gone.jpg, which is not there"),
        ({"01": question(2405722)}, None, None, "the imageId is 2405722 where text is wanted"),  # type: ignore[arg-type]
        ({"01": question(types="query")}, None, None, "has the types 'query' where an object is wanted"),
        ({"01": question(groups="thing")}, None, None, "has the groups 'thing' where an object is wanted"),
        ({"01": question(entailed="02")}, None, None, "'entailed' is 02 where a list of texts is wanted"),
        ({"01": question(answer=3)}, None, None, "the answer is 3 where text is wanted"),
        ([question()], None, None, "q.json holds a JSON list, but GQA questions is wanted here"),
        ('{"01": {"imageId": "n1", "ques', None, None, "q.json is not JSON: .*cut off"),
        ({"01": question("n1")}, graph(), None, "is about image n1, which .*g.json does not have"),
        ({"01": question(annotations={"question": {"4": "99"}})}, graph(), None, "points to objects that .* not have"),
        ({"01": question()}, {"2405722": {"objects": {}}}, None, "image 2405722 has no 'width', 'height'"),
        (
            {"01": question()},
            {"2405722": {"width": 1, "height": 1, "objects": {"11": {}}}},
            None,
            "object 11 has no 'name'",
        ),
        ({"01": question()}, None, {"02": {"valid": [], "plausible": []}}, "question 01 has no entry in .*c.json"),
        ({"01": question()}, None, {"01": {"valid": []}}, "c.json: question 01 has no 'plausible'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    asked: Any, graphs: Any, choices: Any, message: str, pictures: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        GQAQuestions(
            write("q.json", asked),
            pictures,
            graphs and write("g.json", graphs),
            choices and write("c.json", choices),
        ).read()
