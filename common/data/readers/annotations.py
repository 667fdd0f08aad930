"""What the readers of VQA, VQA-CP, OK-VQA and VizWiz share: annotators' answers, and which question they answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.data.readers.checks import Entry, Slim, require_distinct, require_text
from common.errors import DataError

Id = int | str


def slim_answers(key: str = "answer") -> Slim:
    """What leaves of an annotator's answer (`{"answer": "red", "answer_id": 1, "answer_confidence": "yes"}`) its text
    alone, as `annotators_answers` reads it; the same text is kept in memory once."""
    texts: dict[str, tuple[str]] = {}

    def slim(entry: Entry) -> Entry | tuple[str]:
        if "answer_confidence" not in entry or not isinstance(text := entry.get(key), str):
            return entry
        return texts.setdefault(text, (text,))

    return slim


def annotators_answers(annotation: Entry, where: str, key: str = "answer") -> tuple[str, ...]:
    """The text of each annotator's answer: VQA's ten. A text may be empty: some annotators had nothing to say."""
    try:
        answers = tuple(
            answer[0] if isinstance(answer, tuple) else answer[key] for answer in annotation.get("answers", ())
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{where} has answers that are not a list of objects with the key {key!r}") from error
    for answer in answers:
        if not isinstance(answer, str):
            raise DataError(f"{where} has the answer {answer!r}, which is not text: put it in quotes")
    return answers


def annotated_types(
    annotation: Entry, where: str, names: Sequence[str] = ("question_type", "answer_type")
) -> tuple[str, ...]:
    """The groups that a question is scored in, such as "what color" and "other"."""
    return tuple(require_text(annotation[name], f"{where}: the {name}") for name in names if name in annotation)


def by_question(annotations: Iterable[Entry], asked: Sequence[Id], files: tuple[str, str]) -> dict[Id, Entry]:
    """The one annotation of each question that is asked, by its id.

    files: where the questions and the annotations come from.
    Raises DataError for an annotation without its question, and for a question without its annotation.
    """
    listed = list(annotations)
    require_distinct((annotation["question_id"] for annotation in listed), "question", files[1])
    found = {annotation["question_id"]: annotation for annotation in listed}
    for has, ids, lacks, others in ((0, asked, 1, found), (1, found, 0, set(asked))):
        lost = [question_id for question_id in ids if question_id not in others]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            raise DataError(
                f"question {lost[0]}{more} is in {files[has]} but not in {files[lacks]}: give two files of one split"
            )
    return found
