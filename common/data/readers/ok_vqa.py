"""OK-VQA, questions that need knowledge from outside the picture: Marino et al. 2019, https://arxiv.org/abs/1906.00067."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.checks import Entry, require_text
from common.data.readers.vqa import VQAQuestions
from common.errors import DataError


@dataclass(frozen=True)
class OKVQAQuestions(VQAQuestions):
    """An OK-VQA questions JSON with its annotations JSON, v1.0 or v1.1 (okvqa.allenai.org).

    The files have VQA's form but for three things. Each annotator's answer is there twice: `raw_answer` as it was
    typed, and `answer` stemmed, which the official scores compare (v1.1 mends v1.0's bad stems). The ten answers are
    those of five annotators, each listed twice. And `question_type` is a word for a number, "four", whose meaning,
    "Sports and Recreation", is in the annotations' `question_types`; a question is scored in that group alone, as
    every `answer_type` is "other".

    raw: take the answers as they were typed.
    """

    raw: bool = False

    def answer_key(self) -> str:
        """Which text of an annotator's answer counts."""
        return "raw_answer" if self.raw else "answer"

    def types(self, annotation: Entry, answered: Entry, where: str) -> tuple[str, ...]:
        """The field of knowledge."""
        names, kind = answered.get("question_types"), annotation.get("question_type")
        if not annotation or not names:
            return ()
        if not isinstance(names, dict) or not isinstance(kind, str) or kind not in names:
            raise DataError(f"{where} has the question_type {kind!r}, which {self.annotations} does not list by name")
        return (require_text(names[kind], f"{self.annotations}: the name of question_type {kind!r}"),)
