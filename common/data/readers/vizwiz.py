"""VizWiz-VQA, asked by blind people about their own photos: Gurari et al. 2018, https://arxiv.org/abs/1802.08218."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.annotations import annotated_types, annotators_answers, slim_answers
from common.data.readers.checks import ImageFolder, objects, read_json, require_distinct, require_text
from common.data.readers.sources import VQASource
from common.data.records import Scoring, VQARecord
from common.errors import DataError


@dataclass(frozen=True)
class VizWizQuestions(VQASource):
    """A VizWiz-VQA JSON (vizwiz.org): a list with one question about each image, `image` being the image's file name.

    With the answers come `answer_type` ("yes/no", "number", "other" or "unanswerable"), which is the group that the
    question is scored in, and `answerable`, 0 or 1, which is kept in the record's `scoring`. An annotator's
    `answer_confidence` is not kept, as no score reads it. The test file has images and questions alone.

    There are no ids of questions; the image's name serves, as in the server's results.

    annotations: train.json, val.json or test.json.
    images: the folder of the images.
    """

    annotations: str
    images: str

    def read(self) -> list[VQARecord]:
        listed = read_json(self.annotations, ("VizWiz questions",), slim_answers())
        folder = ImageFolder(self.images)
        records = []
        for entry in objects(listed, ("image", "question"), self.annotations):
            name = require_text(entry["image"], f"{self.annotations}: an image's name")
            where = f"{self.annotations}: the question about {name}"
            answerable = entry.get("answerable")
            if answerable not in (0, 1, None):
                raise DataError(f"{where} has 'answerable': {answerable!r}, which is neither 0 nor 1")
            records.append(
                VQARecord(
                    image=folder.find(name, named_by=where),
                    image_id=name,
                    question=require_text(entry["question"], where),
                    question_id=name,
                    answers=annotators_answers(entry, where),
                    types=annotated_types(entry, where, ("answer_type",)),
                    scoring=Scoring(answerable=None if answerable is None else bool(answerable)),
                )
            )
        require_distinct((record.image_id for record in records), "image", self.annotations)
        return records
