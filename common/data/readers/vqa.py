"""VQA v1 and v2: Antol et al. 2015, https://arxiv.org/abs/1505.00468; Goyal et al. 2017, https://arxiv.org/abs/1612.00837."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.data.readers.checks import (
    ImageFolder,
    entries,
    named_boxes,
    read_json,
    require,
    require_distinct,
    require_text,
)
from common.data.readers.sources import VQASource
from common.data.records import NamedBox, VQARecord
from common.errors import DataError

Entry = dict[str, Any]


@dataclass(frozen=True)
class VQAQuestions(VQASource):
    """A VQA questions JSON with its annotations JSON, or without where the answers are to be found.

    An `images` list in either file gives the images' names and boxes, and `focus` in an annotation the indexes of the
    boxes that the question singles out. Without such a list the names are COCO's: COCO_val2014_000000000042.jpg, or
    000000000042.jpg where the folder has them so.

    questions, annotations: the JSON files.
    images: the folder that the names start from, such as val2014.
    """

    questions: str
    images: str
    annotations: str | None = None

    def read(self) -> list[VQARecord]:
        document = read_json(self.questions, ("VQA questions",))
        answered = read_json(self.annotations, ("VQA annotations",)) if self.annotations else {}
        questions = list(entries(document, "questions", ("question_id", "question", "image_id"), self.questions))
        require_distinct((question["question_id"] for question in questions), "question", self.questions)
        annotations = self._annotations(answered, {question["question_id"] for question in questions})
        listed = {}
        for path, source in ((self.questions, document), (self.annotations or "", answered)):
            listed.update({image["id"]: image for image in entries(source, "images", ("id", "file_name"), path)})
        folder = ImageFolder(self.images)
        records = []
        for question in questions:
            where = f"{self.questions}: question {question['question_id']}"
            image = listed.get(question["image_id"], {})
            names = (image["file_name"],) if image else coco_names(document, question["image_id"], where)
            boxes = named_boxes(image, f"image {question['image_id']} of {where}")
            annotation = annotations.get(question["question_id"], {})
            records.append(
                VQARecord(
                    image=folder.find(*names, named_by=where),
                    image_id=question["image_id"],
                    question=require_text(question["question"], where),
                    question_id=question["question_id"],
                    answers=_answers(annotation, where),
                    types=tuple(annotation[key] for key in ("question_type", "answer_type") if key in annotation),
                    boxes=boxes,
                    focus=_focus(annotation, boxes, where),
                )
            )
        return records

    def _annotations(self, document: Entry, asked: set[int | str]) -> dict[int | str, Entry]:
        """Annotations by question, none at all or one for each question that is asked."""
        if self.annotations is None:
            return {}
        listed = list(entries(document, "annotations", ("question_id", "answers"), self.annotations))
        require_distinct((annotation["question_id"] for annotation in listed), "question", self.annotations)
        annotations = {annotation["question_id"]: annotation for annotation in listed}
        for question_id in asked ^ annotations.keys():
            has, lacks = self.questions, self.annotations
            if question_id in annotations:
                has, lacks = lacks, has
            raise DataError(f"question {question_id} is in {has} but not in {lacks}: give two files of the same split")
        return annotations


def coco_names(document: Entry, image_id: int | str, where: str) -> tuple[str, str]:
    """What COCO's image files are called in 2014 and in 2017, from the id and the questions' `data_subtype`."""
    require(document, ("data_subtype",), f"{where} has no name for its image, and the file")
    if not isinstance(image_id, int):
        raise DataError(f"{where} has the image id {image_id!r} where COCO has a whole number")
    subtype = document["data_subtype"].replace("-dev", "")  # test-dev2015 is a part of test2015
    return f"COCO_{subtype}_{image_id:012d}.jpg", f"{image_id:012d}.jpg"


def _answers(annotation: Entry, where: str) -> tuple[str, ...]:
    try:
        return tuple(answer["answer"] for answer in annotation.get("answers", ()))
    except (KeyError, TypeError) as error:
        raise DataError(f"{where} has answers that are not a list of objects with the key 'answer'") from error


def _focus(annotation: Entry, boxes: tuple[NamedBox, ...], where: str) -> tuple[NamedBox, ...]:
    focus = annotation.get("focus", ())
    if any(index not in range(len(boxes)) for index in focus):
        raise DataError(f"{where} has the focus {focus}, but its image has {len(boxes)} boxes")
    return tuple(boxes[index] for index in focus)
