"""DAQUAR: Malinowski and Fritz 2014, https://arxiv.org/abs/1410.0210."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.data.readers.checks import ImageFolder, parse_json, read_text, require, require_text
from common.data.readers.sources import VQASource
from common.data.records import VQARecord
from common.errors import DataError

_IMAGE_NAMED = re.compile(r"\W*(\b(in|on|of|from)\s+)?(\b(the|this)\s+)?\b(?P<image>image\d+)[\s?.]*$")


@dataclass(frozen=True)
class DaquarQuestions(VQASource):
    """DAQUAR's questions, each with one answer; a list of things is one answer too: "book, scissor, papers".

    DAQUAR-ALL are the files qa.894.raw.*, with things of 894 kinds; the reduced DAQUAR are qa.37.raw.*, with 37 kinds
    and 25 images in the test file.

    questions: qa.*.format_triple (question, answer and image in three lines), or qa.*.txt (two lines, the image named
        at the end of the question: "what is on the desk in the image3 ?", which is taken off), or the triples as a
        JSON list. A question's id is its place in the file, from 0.
    images: the folder of the images.
    lists: what becomes of the questions whose answer is a list, a tenth of DAQUAR-ALL. "whole": one answer. "left out":
        as Ren et al. 2015 and Yang et al. 2016 do in training and in tests; the others keep their ids. "split": such a
        question comes once for each of its things, with the ids "7.0", "7.1", ...; for training.
    """

    questions: str
    images: str
    lists: Literal["whole", "left out", "split"] = "whole"

    def read(self) -> list[VQARecord]:
        triples = self._from_json() if Path(self.questions).suffix == ".json" else self._from_lines()
        folder = ImageFolder(self.images)
        records = []
        for index, (question, answer, image, where) in enumerate(triples):
            question = require_text(question, f"{where}: the question")
            written = require_text(answer, f"{where}: the answer")
            things = [thing.strip() for thing in written.split(",")]
            stem = require_text(image, f"{where}: the image").removesuffix(".jpg").removesuffix(".png")
            path = folder.find(f"{stem}.jpg", f"{stem}.png", named_by=where)
            if len(things) == 1 or self.lists == "whole":
                records.append(VQARecord(path, stem, question, index, answers=(", ".join(things),)))
            elif self.lists == "split":
                records.extend(
                    VQARecord(path, stem, question, f"{index}.{place}", answers=(thing,))
                    for place, thing in enumerate(things)
                )
        return records

    def _from_lines(self) -> list[tuple[str, str, str, str]]:
        lines = read_text(self.questions).rstrip().split("\n")
        size = 2 if _IMAGE_NAMED.search(lines[0]) else 3
        if len(lines) % size:
            lacks = f"has {len(lines)} lines, not {'two' if size == 2 else 'three'} for each question: is it cut off?"
            raise DataError(f"{self.questions} {lacks}")
        starts = range(0, len(lines), size)
        return [self._triple(lines[start : start + size], f"{self.questions}, line {start + 1}") for start in starts]

    @staticmethod
    def _triple(lines: list[str], where: str) -> tuple[str, str, str, str]:
        if len(lines) == 3:
            return lines[0], lines[1], lines[2], where
        named = _IMAGE_NAMED.search(lines[0])
        if named is None:
            raise DataError(f"{where} does not end in the name of an image, such as 'in the image3 ?': {lines[0]!r}")
        return f"{lines[0][: named.start()]} ?", lines[1], named.group("image"), where

    def _from_json(self) -> list[tuple[str, str, str, str]]:
        document = parse_json(read_text(self.questions), self.questions)
        if not isinstance(document, list):
            raise DataError(f"{self.questions} is not a list of questions as DAQUAR's JSON is")
        triples = []
        for index, entry in enumerate(document):
            where = f"{self.questions}: [{index}]"
            require(entry, ("question", "answer", "image"), where)
            triples.append((entry["question"], entry["answer"], entry["image"], where))
        return triples
