"""VQA-CP v1 and v2, where the answers of train and test differ: Agrawal et al. 2018, https://arxiv.org/abs/1712.00377."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.annotations import annotated_types, annotators_answers, by_question, slim_answers
from common.data.readers.checks import (
    ImageFolder,
    no_garbage_collection,
    objects,
    read_json,
    require_distinct,
    require_text,
)
from common.data.readers.names import coco_names
from common.data.readers.sources import VQASource
from common.data.records import VQARecord


@dataclass(frozen=True)
class VQACPQuestions(VQASource):
    """A VQA-CP questions file with its annotations file.

    Unlike VQA's, both files are plain lists, and each entry names the split of COCO that its image is from in
    `coco_split`, since VQA-CP's own splits mix train2014 and val2014; otherwise the entries are VQA's.

    questions, annotations: vqacp_v2_{train,test}_{questions,annotations}.json, or v1's.
    images: the folder that has train2014 and val2014 in it (or all images of both).
    """

    questions: str
    annotations: str
    images: str

    def read(self) -> list[VQARecord]:
        kind = ("VQA-CP questions or annotations",)
        needed = ("question_id", "question", "image_id", "coco_split")
        questions = list(objects(read_json(self.questions, kind), needed, self.questions))
        ids = [question["question_id"] for question in questions]
        require_distinct(ids, "question", self.questions)
        listed = objects(
            read_json(self.annotations, kind, slim_answers()), ("question_id", "answers"), self.annotations
        )
        annotations = by_question(listed, ids, (self.questions, self.annotations))
        folder = ImageFolder(self.images)
        records = []
        with no_garbage_collection():
            for question in questions:
                where = f"{self.questions}: question {question['question_id']}"
                annotation = annotations[question["question_id"]]
                names = coco_names(question["image_id"], (question["coco_split"],), where)
                records.append(
                    VQARecord(
                        image=folder.find(*names, named_by=where),
                        image_id=question["image_id"],
                        question=require_text(question["question"], where),
                        question_id=question["question_id"],
                        answers=annotators_answers(annotation, where),
                        types=annotated_types(annotation, where),
                    )
                )
        return records
