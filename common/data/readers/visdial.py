"""Visual Dialog v1.0, ten questions in a row about each picture: Das et al. 2017, https://arxiv.org/abs/1611.08669."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data.readers.checks import (
    Entry,
    ImageFolder,
    entries,
    no_garbage_collection,
    objects,
    read_json,
    require,
    require_distinct,
    require_text,
)
from common.data.readers.names import coco_names
from common.data.readers.sources import VQASource
from common.data.records import Scoring, VQARecord
from common.errors import DataError


@dataclass(frozen=True)
class VisDialQuestions(VQASource):
    """The rounds of a Visual Dialog v1.0 JSON (visualdialog.org), each a question of its own.

    The file's `data` has `questions` and `answers`, lists of texts, and `dialogs`; a dialogue has `image_id`, `caption`
    and `dialog`, whose rounds give places in those lists: `question`, `answer`, a hundred `answer_options`, and in
    `gt_index` which of them is the right one. A round without options is not asked; in the test split that is all but
    the last, whose answer is not told.

    facts: the caption, then one for each earlier round, its question and answer.
    choices: the options, in their order.
    A question's id is "IMAGE-ROUND", such as "185565-1", with rounds from 1 as in the server's results.

    dialogs: visdial_1.0_{train,val,test}.json.
    images: the folder of the images: VisualDialog_val2018, or one with COCO's train2014 and val2014 in it for training.
    dense: visdial_1.0_{val,train}_dense_annotations.json: how right each option of one round of each dialogue is
        (`gt_relevance`, in the training file `relevance`).
    choices: whether records have the options; for the training split's 1.2 million rounds they take a gigabyte.
    """

    dialogs: str
    images: str
    dense: str | None = None
    choices: bool = True

    def read(self) -> list[VQARecord]:
        document = read_json(self.dialogs, ("Visual Dialog dialogues",), _slim_turn)
        data, where = document["data"], f"{self.dialogs}: data"
        require(data, ("questions", "answers"), where)
        for kind in ("questions", "answers"):
            if not isinstance(data[kind], list) or not all(isinstance(text, str) for text in data[kind]):
                raise DataError(f"{where}: {kind!r} is not a list of texts")
        folder, split = ImageFolder(self.images), str(document.get("split", ""))
        relevance = self._relevance()
        records: list[VQARecord] = []
        with no_garbage_collection():
            for dialogue in entries(data, "dialogs", ("image_id", "caption", "dialog"), where):
                of_image = f"{self.dialogs}: image {dialogue['image_id']}"
                image = folder.find(*_names(dialogue["image_id"], split, of_image), named_by=of_image)
                records.extend(self._rounds(dialogue, data, image, relevance))
        require_distinct((record.question_id for record in records), "round", self.dialogs)
        if lost := relevance.keys() - {record.question_id for record in records}:
            raise DataError(
                f"{self.dense} is about round {min(lost)}, which {self.dialogs} does not ask: another split?"
            )
        return records

    def _rounds(
        self, dialogue: Entry, data: Entry, image: Path, relevance: dict[str, tuple[float, ...]]
    ) -> Iterator[VQARecord]:
        """The rounds that are asked, each with what has been said before it."""
        image_id = dialogue["image_id"]
        facts = [require_text(dialogue["caption"], f"{self.dialogs}: image {image_id}: the caption")]
        for number, turn in enumerate(
            entries(dialogue, "dialog", ("question",), f"{self.dialogs}: {image_id}"), start=1
        ):
            where = f"{self.dialogs}: image {image_id}, round {number}"
            question = _said(data, "questions", turn["question"], where)
            answer = _said(data, "answers", turn["answer"], where) if "answer" in turn else None
            if "answer_options" in turn:
                options = _options(turn["answer_options"], data["answers"], where)
                _check_truth(turn, answer, options, where)
                name = f"{image_id}-{number}"
                scores = relevance.get(name, ())
                if scores and len(scores) != len(options):
                    raise DataError(f"{where} has {len(options)} options, but {len(scores)} in {self.dense}")
                yield VQARecord(
                    image=image,
                    image_id=image_id,
                    question=question,
                    question_id=name,
                    answers=() if answer is None else (answer,),
                    facts=tuple(facts),
                    choices=options if self.choices else (),
                    scoring=Scoring(relevance=scores),
                )
            facts.append(f"{question.rstrip(' ?')}? {answer or ''}".rstrip())

    def _relevance(self) -> dict[str, tuple[float, ...]]:
        """How right the options are, of the rounds for which that is known."""
        if not self.dense:
            return {}
        found = {}
        listed = read_json(self.dense, ("Visual Dialog dense annotations",))
        for index, entry in enumerate(objects(listed, ("image_id", "round_id"), self.dense)):
            scores = entry.get("gt_relevance", entry.get("relevance"))
            if not isinstance(scores, list) or not all(isinstance(each, (int, float)) for each in scores):
                raise DataError(f"{self.dense}: [{index}] has no list of numbers 'gt_relevance' or 'relevance'")
            found[f"{entry['image_id']}-{entry['round_id']}"] = tuple(map(float, scores))
        return found


def _names(image_id: object, split: str, where: str) -> tuple[str, ...]:
    coco = coco_names(image_id, ("train2014", "val2014"), where)
    own = [f"VisualDialog_{year}_{image_id:012d}.jpg" for year in ("val2018", "test2018")]
    return (*coco, *own) if split == "train" else (*own, *coco)


def _slim_turn(entry: Entry) -> Entry:
    """A round with its options as an array: as Python's numbers, the training split's would take four gigabytes."""
    options = entry.get("answer_options")
    if isinstance(options, list) and all(type(place) is int and 0 <= place < 2**31 for place in options):
        entry["answer_options"] = array("i", options)
    return entry


def _options(places: object, answers: list[str], where: str) -> tuple[str, ...]:
    try:
        if isinstance(places, array):
            return tuple(map(answers.__getitem__, places))
    except IndexError:
        pass
    raise DataError(f"{where} has answer_options that are not places in the file's list of answers: {str(places)[:80]}")


def _said(data: Entry, kind: str, place: Any, where: str) -> str:
    """The question or answer at a place in the file's list of all."""
    if not isinstance(place, int) or not 0 <= place < len(data[kind]):
        raise DataError(f"{where} has the place {place!r}, which the file's list of {kind} does not have")
    return require_text(data[kind][place], f"{where}: number {place} of the {kind}")


def _check_truth(turn: Entry, answer: str | None, options: Sequence[str], where: str) -> None:
    if answer is None or "gt_index" not in turn:
        return
    place = turn["gt_index"]
    if not isinstance(place, int) or not 0 <= place < len(options) or " ".join(options[place].split()) != answer:
        raise DataError(f"{where} has the answer {answer!r}, which is not its option number {place!r} (gt_index)")
