from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.data.readers import CLEVRQuestions
from common.data.records import VQARecord
from common.errors import DataError


def step(function: str, *inputs: int, **value: str) -> dict[str, Any]:
    return {"inputs": list(inputs), "function": function, "value_inputs": list(value.values())}


SCENE, RED = step("scene"), step("filter_color", 0, value="red")
COLOUR = [SCENE, step("filter_shape", 0, value="cube"), step("unique", 1), step("query_color", 2)]
LEFT = [SCENE, RED, step("unique", 1), step("relate", 2, value="left"), step("count", 3)]
SAME = [SCENE, RED, step("unique", 1), step("same_size", 2), step("exist", 3)]
BOTH = [SCENE, RED, step("filter_shape", 0, value="cube"), step("union", 1, 2), step("count", 3)]
NEITHER = [SCENE, RED, step("filter_shape", 0, value="cube"), step("intersect", 1, 2), step("exist", 3)]
MORE = [SCENE, RED, step("count", 1), SCENE, step("filter_shape", 3, value="cube"), step("count", 4)]
EQUAL = [*MORE, step("greater_than", 2, 5)]
ALIKE = [*COLOUR, SCENE, RED, step("unique", 5), step("query_color", 6), step("equal_color", 3, 7)]


def question(program: Any = COLOUR, index: int = 0, **more: Any) -> dict[str, Any]:
    """An entry as the published files have it."""
    return {
        "split": "val",
        "image_filename": "CLEVR_val_000003.png",
        "image_index": 3,
        "image": "CLEVR_val_000003",
        "question": "What color is the cube?",
        "question_index": index,
        "question_family_index": 12,
        "answer": "blue",
        "program": program,
    } | more


def thing(shape: str, color: str, x: int, size: str = "large", depth: float = 10.0) -> dict[str, Any]:
    where = {"pixel_coords": [x, 160, depth], "3d_coords": [0, 0, 0.7], "rotation": 30.0}
    return {"shape": shape, "color": color, "size": size, "material": "metal"} | where


def scenes(**more: Any) -> dict[str, Any]:
    """A red sphere on the left, a blue cube in the middle and a green cylinder on the right."""
    objects = [thing("sphere", "red", 120), thing("cube", "blue", 240), thing("cylinder", "green", 475, "small", 20)]
    sides = {"left": [[], [0], [0, 1]], "right": [[1, 2], [2], []]}
    scene = {"image_index": 3, "image_filename": "CLEVR_val_000003.png", "objects": objects, "relationships": sides}
    return {"info": {}, "scenes": [scene | more]}


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    (tmp_path / "CLEVR_val_000003.png").touch()
    return str(tmp_path)


def test_a_question_is_scored_in_what_its_program_does_last(pictures: str, write: Any) -> None:
    programs = [COLOUR, LEFT, SAME, EQUAL, ALIKE]
    asked = [question(program, index) for index, program in enumerate(programs)]
    records = CLEVRQuestions(write("q.json", {"info": {}, "questions": asked}), pictures).read()
    image = Path(pictures, "CLEVR_val_000003.png")
    types = ("query_attribute", "query_color")
    assert records[0] == VQARecord(image, 3, "What color is the cube?", 0, ("blue",), types)
    assert [record.types for record in records[1:]] == [
        ("count",),
        ("exist",),
        ("compare_integer", "greater_than"),
        ("compare_attribute", "equal_color"),
    ]


def test_the_test_split_has_neither_answers_nor_programs(pictures: str, write: Any) -> None:
    hidden = {key: value for key, value in question().items() if key not in ("answer", "program")}
    for files in ({}, {"scenes": write("s.json", scenes())}):
        (record,) = CLEVRQuestions(write("q.json", {"questions": [hidden]}), pictures, **files).read()
        assert (record.answers, record.types, record.focus) == ((), (), ())


def test_newly_made_data_call_a_function_type(pictures: str, write: Any) -> None:
    program = [{"type": "scene", "inputs": []}, {"type": "filter_shape", "inputs": [0], "side_inputs": ["cube"]}]
    asked = {
        "questions": [question([*program, {"type": "unique", "inputs": [1]}, {"type": "query_size", "inputs": [2]}])]
    }
    (record,) = CLEVRQuestions(write("q.json", asked), pictures, write("s.json", scenes())).read()
    assert record.types == ("query_attribute", "query_size")
    assert [each.name for each in record.focus] == ["cube"]


@pytest.mark.parametrize(
    ("program", "focus"),
    [
        (COLOUR, ["cube"]),
        (LEFT, []),
        (
            [
                SCENE,
                step("filter_shape", 0, value="cube"),
                step("unique", 1),
                step("relate", 2, value="right"),
                step("exist", 3),
            ],
            ["cylinder"],
        ),
        (SAME, ["cube"]),
        (BOTH, ["sphere", "cube"]),
        (NEITHER, []),
        (EQUAL, ["sphere", "cube"]),
        (ALIKE, ["sphere", "cube"]),
        ([SCENE, step("count", 0)], ["sphere", "cube", "cylinder"]),
    ],
)
def test_the_focus_is_what_the_program_comes_to(program: Any, focus: list[str], pictures: str, write: Any) -> None:
    asked = {"questions": [question(program)]}
    (record,) = CLEVRQuestions(write("q.json", asked), pictures, write("s.json", scenes())).read()
    assert [each.name for each in record.focus] == focus
    assert [each.name for each in record.boxes] == ["sphere", "cube", "cylinder"]


def test_boxes_are_estimated_from_size_and_distance_and_stay_in_the_picture(pictures: str, write: Any) -> None:
    asked = {"questions": [question()]}
    (record,) = CLEVRQuestions(write("q.json", asked), pictures, write("s.json", scenes())).read()
    sphere, _, cylinder = record.boxes
    half = 525 * 0.7 / 10  # pixels: focal length x radius / distance
    assert sphere.corners == pytest.approx(
        ((120 - half) / 480, (160 - half) / 320, (120 + half) / 480, (160 + half) / 320)
    )
    assert sphere.attributes == ("large", "red", "metal")
    assert cylinder.corners[2] == 1
    assert (cylinder.corners[3] - cylinder.corners[1]) * 320 == pytest.approx(half / 2)  # half as large, twice as far


@pytest.mark.parametrize(
    ("asked", "drawn", "message"),
    [
        ([question(), question()], None, "has the question 0 twice"),
        ([question(image_filename="gone.png")], None, "question 0 names the image .*gone.png, which is not there"),
        ([question(), {"question": "What?"}], None, r"questions\[1\] has no 'question_index', 'image_filename'"),
        ([question("query_color")], None, "has a program that is not a list of steps with 'function' and 'inputs'"),
        ([question([{"inputs": [[0]], "function": "count"}])], None, "not a list of steps"),
        ([question(answer=3)], None, "the answer is 3 where text is wanted"),
        ([question(image_index=4)], scenes(), "is about image 4, which .*s.json does not have"),
        ([question([SCENE, step("filter_shape", 7)])], scenes(), "has a program that does not fit its scene"),
        ([question([SCENE, step("relate", 0, value="left")])], scenes(), "has a program that does not fit its scene"),
        ([question()], scenes(objects=[{"shape": "cube"}]), r"objects\[0\] has no 'pixel_coords', 'size'"),
        (
            [question()],
            scenes(objects=[thing("cube", "red", 5, "huge")]),
            "and a size that is large or small, not .*'huge'",
        ),
        ([question()], {"questions": [question()]}, "s.json holds CLEVR questions, but CLEVR scenes is wanted here"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(asked: Any, drawn: Any, message: str, pictures: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        CLEVRQuestions(write("q.json", {"questions": asked}), pictures, drawn and write("s.json", drawn)).read()
