"""COCO-QA, questions made of captions: Ren et al. 2015, https://arxiv.org/abs/1505.02074."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.data.readers.checks import ImageFolder, read_text, require_text
from common.data.readers.names import coco_names
from common.data.readers.sources import VQASource
from common.data.records import VQARecord
from common.errors import DataError

TYPES = ("object", "number", "color", "location")
FILES = ("questions.txt", "answers.txt", "img_ids.txt", "types.txt")


@dataclass(frozen=True)
class CocoQAQuestions(VQASource):
    """A split of COCO-QA: a folder with questions.txt, answers.txt, img_ids.txt and types.txt, whose lines go together.

    An answer is one word, an image id is COCO's, and a type is 0 for object, 1 for number, 2 for color or 3 for
    location, as in the data set's release. A question's id is its line, from 0.

    folder: such as cocoqa/train.
    images: the folder that has train2014 and val2014 in it (or all images of both).
    """

    folder: str
    images: str

    def read(self) -> list[VQARecord]:
        columns = [read_text(str(Path(self.folder, name))).rstrip().split("\n") for name in FILES]
        counts = [len(lines) for lines in columns]
        if len(set(counts)) > 1:
            found = ", ".join(f"{count} in {name}" for count, name in zip(counts, FILES, strict=True))
            raise DataError(f"{self.folder}: the files differ in their numbers of lines ({found}): is one cut off?")
        folder = ImageFolder(self.images)
        return [self._record(number, row, folder) for number, row in enumerate(zip(*columns, strict=True))]

    def _record(self, number: int, row: tuple[str, ...], folder: ImageFolder) -> VQARecord:
        question, answer, image, kind = row
        where = f"{self.folder}, line {number + 1}"
        image_id = _whole_number(image, f"{where} of img_ids.txt")
        kind_number = _whole_number(kind, f"{where} of types.txt")
        if kind_number >= len(TYPES):
            raise DataError(f"{where} of types.txt is {kind_number}, which is no type from 0 to {len(TYPES) - 1}")
        return VQARecord(
            image=folder.find(*coco_names(image_id, ("train2014", "val2014"), where), named_by=where),
            image_id=image_id,
            question=require_text(question, f"{where}: the question"),
            question_id=number,
            answers=(require_text(answer, f"{where}: the answer"),),
            types=(TYPES[kind_number],),
        )


def _whole_number(text: str, where: str) -> int:
    if not text.strip().isdecimal():
        raise DataError(f"{where} is {text[:40]!r} where a number is wanted")
    return int(text)
