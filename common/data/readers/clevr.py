"""CLEVR, questions about drawn solids: Johnson et al. 2017, https://arxiv.org/abs/1612.06890."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.checks import (
    Entry,
    ImageFolder,
    entries,
    no_garbage_collection,
    read_json,
    require_distinct,
    require_text,
)
from common.data.readers.clevr_scenes import Step, asked_objects, lean_steps, scene_boxes
from common.data.readers.sources import VQASource
from common.data.records import NamedBox, VQARecord
from common.errors import DataError

GROUPS = {  # how the paper puts the last functions of programs together; those not listed stand for themselves
    "equal_integer": "compare_integer",
    "less_than": "compare_integer",
    "greater_than": "compare_integer",
}


@dataclass(frozen=True)
class CLEVRQuestions(VQASource):
    """A CLEVR v1.0 questions JSON, as its README describes it.

    Each of `questions` has `question_index` (its id), `image_filename`, `image_index`, `question` and, but for the test
    split, `answer` and `program`, whose last function is what is asked. A question is scored in that function
    ("query_color") and in the group that the paper puts it in ("query_attribute", "compare_attribute",
    "compare_integer", "count", "exist"). (Its `question_family_index`, one of 90 templates, is not kept.)

    questions: CLEVR_{train,val,test}_questions.json.
    images: the folder of the images, such as images/val.
    scenes: CLEVR_{train,val}_scenes.json, for the objects with estimated boxes (see `scene_boxes`); the focus of a
        question is those its program comes to (see `asked_objects`).
    """

    questions: str
    images: str
    scenes: str | None = None

    def read(self) -> list[VQARecord]:
        with no_garbage_collection():
            document = read_json(self.questions, ("CLEVR questions",), lean_steps())
            scenes = _Scenes(self.scenes) if self.scenes else None
            folder = ImageFolder(self.images)
            needed = ("question_index", "image_filename", "image_index", "question")
            records = []
            for question in entries(document, "questions", needed, self.questions):
                where = f"{self.questions}: question {question['question_index']}"
                program = _program(question, where)
                boxes, focus = scenes.of(question["image_index"], program, where) if scenes else ((), ())
                records.append(
                    VQARecord(
                        image=folder.find(question["image_filename"], named_by=where),
                        image_id=question["image_index"],
                        question=require_text(question["question"], where),
                        question_id=question["question_index"],
                        answers=_answers(question, where),
                        types=_types(program),
                        boxes=boxes,
                        focus=focus,
                    )
                )
        require_distinct((record.question_id for record in records), "question", self.questions)
        return records


class _Scenes:
    """The scenes by the index of their image."""

    def __init__(self, path: str) -> None:
        self.path = path
        document = read_json(path, ("CLEVR scenes",))
        needed = ("image_index", "objects", "relationships")
        self.scenes = {scene["image_index"]: scene for scene in entries(document, "scenes", needed, path)}
        self.boxes = {index: scene_boxes(scene, f"{path}: image {index}") for index, scene in self.scenes.items()}

    def of(self, index: int, program: list[Step], where: str) -> tuple[tuple[NamedBox, ...], tuple[NamedBox, ...]]:
        """The objects of an image, and those that a program asks about."""
        if index not in self.scenes:
            raise DataError(f"{where} is about image {index}, which {self.path} does not have: give the same split's")
        boxes = self.boxes[index]
        asked = asked_objects(program, self.scenes[index], where) if program else []
        return boxes, tuple(boxes[each] for each in asked)


def _answers(question: Entry, where: str) -> tuple[str, ...]:
    return (require_text(question["answer"], f"{where}: the answer"),) if "answer" in question else ()


def _program(question: Entry, where: str) -> list[Step]:
    program = question.get("program", [])
    if not isinstance(program, list) or not all(isinstance(step, Step) for step in program):
        raise DataError(f"{where} has a program that is not a list of steps with 'function' and 'inputs'")
    return program


def _types(program: list[Step]) -> tuple[str, ...]:
    if not program:
        return ()
    function = program[-1].function
    attribute = {"query": "query_attribute", "equal": "compare_attribute"}.get(function.partition("_")[0], function)
    group = GROUPS.get(function, attribute)
    return (group,) if group == function else (group, function)
