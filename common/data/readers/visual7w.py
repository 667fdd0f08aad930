"""Visual7W's telling questions, each with four answers to choose from: Zhu et al. 2016, https://arxiv.org/abs/1511.03416."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.data.images import image_size
from common.data.readers.checks import (
    Entry,
    ImageFolder,
    entries,
    named_boxes,
    read_json,
    require_distinct,
    require_text,
    texts,
)
from common.data.readers.sources import VQASource
from common.data.records import VQARecord
from common.errors import ConfigError


@dataclass(frozen=True)
class Visual7WQuestions(VQASource):
    """The questions of one split of dataset_v7w_telling.json, as the authors' toolkit reads it.

    Each of `images` has `filename`, `split` and `qa_pairs`; a pair has `qa_id`, `question`, `answer`, `type` ("what",
    "where", "when", "who", "why" or "how": the group it is scored in) and in `multiple_choices` three wrong answers.
    The record's choices are all four in alphabetical order, so that the place of the right one tells nothing.
    (Pointing questions, whose answers are boxes, are not read.)

    annotations: dataset_v7w_telling.json.
    images: the folder of the images, v7w_1.jpg and so on.
    split: "train", "val" or "test".
    groundings: v7w_telling_answers.json of the grounding annotations, whose boxes (`qa_id`, `name`, `x`, `y`, `width`,
        `height`, in pixels) show what the answer names: the record's boxes and focus. The size of each such image is
        looked up in its file.
    """

    annotations: str
    images: str
    split: str
    groundings: str | None = None

    def read(self) -> list[VQARecord]:
        document = read_json(self.annotations, ("Visual7W questions",))
        folder = ImageFolder(self.images)
        boxes = self._groundings()
        records = []
        for image in self._of_split(document):
            where = f"{self.annotations}: image {image['filename']}"
            path = folder.find(image["filename"], named_by=where)
            for pair in entries(image, "qa_pairs", ("qa_id", "question", "answer", "type"), where):
                records.append(self._record(pair, image, path, boxes.get(pair["qa_id"], [])))
        require_distinct((record.question_id for record in records), "question", self.annotations)
        return records

    def _record(self, pair: Entry, image: Entry, path: Path, shown: list[Entry]) -> VQARecord:
        where = f"{self.annotations}: question {pair['qa_id']}"
        answer = require_text(pair["answer"], f"{where}: the answer")
        width, height = image_size(path) if shown else (0, 0)
        boxes = named_boxes({"boxes": shown, "width": width, "height": height}, f"{self.groundings}: {where}")
        return VQARecord(
            image=path,
            image_id=image["image_id"],
            question=require_text(pair["question"], where),
            question_id=pair["qa_id"],
            answers=(answer,),
            types=(require_text(pair["type"], f"{where}: the type"),),
            boxes=boxes,
            focus=boxes,
            choices=tuple(sorted((answer, *texts(pair, "multiple_choices", where)))),
        )

    def _of_split(self, document: Entry) -> Iterator[Entry]:
        images = list(entries(document, "images", ("image_id", "filename", "split", "qa_pairs"), self.annotations))
        splits = {str(image["split"]) for image in images}
        if self.split not in splits:
            raise ConfigError(f"{self.annotations} has no split {self.split!r}; it has {', '.join(sorted(splits))}")
        return (image for image in images if image["split"] == self.split)

    def _groundings(self) -> dict[int | str, list[Entry]]:
        """The boxes of each question, in the form of `named_boxes`."""
        boxes: dict[int | str, list[Entry]] = {}
        if self.groundings:
            document = read_json(self.groundings, ("Visual7W boxes",))
            for box in entries(document, "boxes", ("qa_id", "name", "x", "y", "width", "height"), self.groundings):
                corner_and_size = [box[side] for side in ("x", "y", "width", "height")]
                boxes.setdefault(box["qa_id"], []).append({"bbox": corner_and_size, "name": box["name"]})
        return boxes
