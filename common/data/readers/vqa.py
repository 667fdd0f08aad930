"""VQA v1 and v2: Antol et al. 2015, https://arxiv.org/abs/1505.00468; Goyal et al. 2017, https://arxiv.org/abs/1612.00837."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.annotations import Id, annotated_types, annotators_answers, by_question, slim_answers
from common.data.readers.checks import (
    Entry,
    ImageFolder,
    entries,
    named_boxes,
    no_garbage_collection,
    read_json,
    require,
    require_distinct,
    require_text,
    texts,
)
from common.data.readers.names import coco_names
from common.data.readers.sources import VQASource
from common.data.records import NamedBox, Scoring, VQARecord
from common.errors import DataError

NOTHING_MORE = Scoring()  # of all questions but rephrasings: one will do for a million


@dataclass(frozen=True)
class VQAQuestions(VQASource):
    """A VQA questions JSON with its annotations JSON, or without where the answers are to be found.

    The files are as visualqa.org describes them: `questions` with `question_id`, `image_id` and `question`, and in v1's
    MultipleChoice files `multiple_choices`, in VQA-Rephrasings' `rephrasing_of`; `annotations` with `question_id`,
    `question_type`, `answer_type` and ten `answers`. The groups that a question is scored in are its two types, "what
    color" and "other".

    An `images` list in either file gives the images' names and boxes, and `focus` in an annotation the indexes of the
    boxes that the question singles out. Without such a list the names are COCO's (see `coco_names`) or, where
    `data_type` says so, the abstract scenes': abstract_v002_train2015_000000000042.png.

    questions, annotations: the JSON files.
    images: the folder that the names start from, such as val2014.
    """

    questions: str
    images: str
    annotations: str | None = None

    def read(self) -> list[VQARecord]:
        document = read_json(self.questions, ("VQA questions",))
        answered: Entry = {}
        if self.annotations:
            answered = read_json(self.annotations, ("VQA annotations",), slim_answers(self.answer_key()))
        with no_garbage_collection():
            return self._records(document, answered)

    def answer_key(self) -> str:
        """What an annotator's text is called in the answers."""
        return "answer"

    def types(self, annotation: Entry, answered: Entry, where: str) -> tuple[str, ...]:
        """The groups that a question is scored in, from its annotation and the whole annotations file."""
        return annotated_types(annotation, where)

    def _records(self, document: Entry, answered: Entry) -> list[VQARecord]:
        questions = list(entries(document, "questions", ("question_id", "question", "image_id"), self.questions))
        ids = [question["question_id"] for question in questions]
        require_distinct(ids, "question", self.questions)
        annotations: dict[Id, Entry] = {}
        if self.annotations:
            listed = entries(answered, "annotations", ("question_id", "answers"), self.annotations)
            annotations = by_question(listed, ids, (self.questions, self.annotations))
        files = _Files(ImageFolder(self.images), document, answered, {})
        for path, source in ((self.questions, document), (self.annotations or "", answered)):
            files.listed.update({each["id"]: each for each in entries(source, "images", ("id", "file_name"), path)})
        return [self._record(question, annotations.get(question["question_id"], {}), files) for question in questions]

    def _record(self, question: Entry, annotation: Entry, files: _Files) -> VQARecord:
        where = f"{self.questions}: question {question['question_id']}"
        if not isinstance(question["image_id"], (int, str)):
            raise DataError(f"{where} has the image id {question['image_id']!r}, which is neither a number nor text")
        image = files.listed.get(question["image_id"], {})
        names = (image["file_name"],) if image else files.names(question["image_id"], where)
        boxes = named_boxes(image, f"image {question['image_id']} of {where}")
        return VQARecord(
            image=files.folder.find(*names, named_by=where),
            image_id=question["image_id"],
            question=require_text(question["question"], where),
            question_id=question["question_id"],
            answers=annotators_answers(annotation, where, self.answer_key()),
            types=self.types(annotation, files.answered, where),
            boxes=boxes,
            focus=_focus(annotation, boxes, where),
            choices=texts(question, "multiple_choices", where),
            scoring=_scoring(question, where),
        )


@dataclass(frozen=True)
class _Files:
    """What a question's record is made from. listed: the entries of the files' `images`, by id."""

    folder: ImageFolder
    asked: Entry
    answered: Entry
    listed: dict[Id, Entry]

    def names(self, image_id: Id, where: str) -> tuple[str, ...]:
        """What the file of a picture that is not listed may be called."""
        require(self.asked, ("data_subtype",), f"{where} has no name for its image, and the file")
        subtype, kind = str(self.asked["data_subtype"]), str(self.asked.get("data_type", ""))
        if kind.startswith("abstract") and isinstance(image_id, int):
            return (f"{kind}_{subtype}_{image_id:012d}.png",)
        return coco_names(image_id, (subtype.replace("-dev", ""),), where)  # test-dev2015 is a part of test2015


def _scoring(question: Entry, where: str) -> Scoring:
    original = question.get("rephrasing_of")
    if original is None:
        return NOTHING_MORE
    if isinstance(original, bool) or not isinstance(original, (int, str)):
        raise DataError(f"{where} is a rephrasing_of {original!r}, which is no question's id")
    return Scoring(rephrases=original)


def _focus(annotation: Entry, boxes: tuple[NamedBox, ...], where: str) -> tuple[NamedBox, ...]:
    focus = annotation.get("focus", ())
    if any(index not in range(len(boxes)) for index in focus):
        raise DataError(f"{where} has the focus {focus}, but its image has {len(boxes)} boxes")
    return tuple(boxes[index] for index in focus)
