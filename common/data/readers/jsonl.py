"""One's own data: a text file with one JSON object on each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.data.readers.checks import (
    ImageFolder,
    named_boxes,
    parse_json,
    read_text,
    require,
    require_distinct,
    require_text,
    texts,
)
from common.data.readers.sources import CaptionSource, VQASource
from common.data.records import CaptionRecord, VQARecord
from common.errors import DataError, nearest

_IMAGE_KEYS = ("image", "id", "boxes", "width", "height")


@dataclass(frozen=True)
class JsonlCaptions(CaptionSource):
    """One image a line: `{"image": "photo.jpg", "captions": ["a dog on a sofa", "a sleeping dog"]}`.

    Besides, if wanted: "id" (else the image's name is its id), "types" (names of the groups that it is scored in), and
    "boxes" (`[{"bbox": [x, y, width, height], "name": "dog", "attributes": ["brown"]}]`, in pixels) with the image's
    "width" and "height". "captions" may be left out of images that are only to be captioned.

    annotations: the file.
    images: the folder that the images' names start from.
    """

    annotations: str
    images: str

    def read(self) -> list[CaptionRecord]:
        folder = ImageFolder(self.images)
        records = []
        for entry, where in _lines(self.annotations, ("image",), (*_IMAGE_KEYS, "captions", "types")):
            records.append(
                CaptionRecord(
                    image=folder.find(require_text(entry["image"], f"{where}: the image"), named_by=where),
                    image_id=entry.get("id", entry["image"]),
                    captions=texts(entry, "captions", where),
                    boxes=named_boxes(entry, where),
                    types=texts(entry, "types", where),
                )
            )
        require_distinct((record.image_id for record in records), "image", self.annotations)
        return records


@dataclass(frozen=True)
class JsonlQuestions(VQASource):
    """One question a line: `{"image": "photo.jpg", "question": "what is on the sofa?", "answers": ["dog"]}`.

    Besides, if wanted: "id" (of the question, else its place in the file, from 1), "types" (names of the groups that
    it is scored in), "facts" (texts that the model may read), "choices" (answers to choose from), and "boxes", "width",
    "height" as in `JsonlCaptions`. "answers" may be left out where they are to be found.

    annotations: the file.
    images: the folder that the images' names start from.
    """

    annotations: str
    images: str

    def read(self) -> list[VQARecord]:
        folder = ImageFolder(self.images)
        keys = (*_IMAGE_KEYS, "question", "answers", "types", "facts", "choices")
        records = []
        for number, (entry, where) in enumerate(_lines(self.annotations, ("image", "question"), keys), start=1):
            records.append(
                VQARecord(
                    image=folder.find(require_text(entry["image"], f"{where}: the image"), named_by=where),
                    image_id=entry["image"],
                    question=require_text(entry["question"], f"{where}: the question"),
                    question_id=entry.get("id", number),
                    answers=texts(entry, "answers", where),
                    types=texts(entry, "types", where),
                    boxes=named_boxes(entry, where),
                    facts=texts(entry, "facts", where),
                    choices=texts(entry, "choices", where),
                )
            )
        require_distinct((record.question_id for record in records), "question", self.annotations)
        return records


def _lines(path: str, needed: Sequence[str], known: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects in a file, each with where it is; empty lines are passed over."""
    found = False
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        entry = parse_json(line, where)
        require(entry, needed, where)
        for key in entry:
            if key not in known:
                raise DataError(f"{where} has the key {key!r}, which means nothing here{nearest(key, known)}")
        found = True
        yield entry, where
    if not found:
        raise DataError(f"{path} is empty")
