"""Questions about pictures for training and evaluation: records -> batches."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.attention import VisualFeatures
from common.data.batches import ImageBatch, Transferable
from common.data.extraction import Encoder
from common.data.loading import VisualLoader
from common.data.module import SPLITS, Loading, PictureData
from common.data.readers import VQASource
from common.data.records import VQARecord
from common.data.tokenizer import tokenize
from common.data.vocabulary import Vocabulary
from common.errors import DataError
from vqa.answers import AnswerVocabulary, choice_scores, soft_targets, vote_shares
from vqa.questions import Choices, Encoding, Texts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VQABatch(Transferable):
    """B pictures with up to Q questions each; the encoder runs once for all questions about a picture.

    keep: the valid words; a picture with fewer than Q questions has rows that are not valid at all.
    targets: each answer's score in 0..1, as VQA accuracy gives it; a row of zeros where no known answer is right.
    votes: the share of the annotators who gave each answer.
    records: the questions of each picture.
    facts: the facts that come with each question; one that has none has one without words.
    choices: the answers on offer; None where no question has any.
    """

    visual: ImageBatch | VisualFeatures
    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    targets: Float[Tensor, "B Q A"]
    votes: Float[Tensor, "B Q A"]
    records: tuple[tuple[VQARecord, ...], ...]
    facts: Texts | None = None
    choices: Choices | None = None

    @property
    def asked(self) -> Bool[Tensor, "B Q"]:
        """Which questions there are."""
        return self.keep.any(-1)


class Scored(NamedTuple):
    """The classes that some annotator gave, with the score of each and the share who gave it."""

    classes: Int[Tensor, " N"]
    targets: Float[Tensor, " N"]
    votes: Float[Tensor, " N"]


class VQACollate:
    """Makes a batch of pictures with all their questions, or with `questions` drawn of them."""

    def __init__(
        self, loader: VisualLoader, vocabulary: Vocabulary, answers: AnswerVocabulary, questions: int | None
    ) -> None:
        self.loader = loader
        self.encoding = Encoding(vocabulary)
        self.answers = answers
        self.questions = questions
        # The same answers come again in every epoch; cleaning them costs as much as a small network's step.
        self._scored: dict[tuple[str, ...], Scored] = {}

    def __call__(self, pictures: Sequence[Sequence[VQARecord]]) -> VQABatch:
        """Questions [B Q T], targets [B Q A] and pictures."""
        drawn = tuple(tuple(self._draw(records)) for records in pictures)
        tokens, keep = self.encoding.questions([[record.question for record in records] for records in drawn])
        targets, votes = (torch.zeros(*keep.shape[:2], len(self.answers)) for _ in range(2))
        for row, records in enumerate(drawn):
            for column, record in enumerate(records):
                scored = self._scores(record.answers)
                targets[row, column, scored.classes] = scored.targets
                votes[row, column, scored.classes] = scored.votes
        visual = self.loader([records[0] for records in drawn])
        facts = self.encoding.texts([[record.facts for record in records] for records in drawn])
        return VQABatch(visual, tokens, keep, targets, votes, drawn, facts, self._choices(drawn))

    def _scores(self, given: tuple[str, ...]) -> Scored:
        if given not in self._scored:
            targets, votes = soft_targets(given, self.answers), vote_shares(given, self.answers)
            classes = torch.tensor(list(votes), dtype=torch.long)
            self._scored[given] = Scored(
                classes, torch.tensor([targets[each] for each in votes]), torch.tensor(list(votes.values()))
            )
        return self._scored[given]

    def _choices(self, drawn: Sequence[Sequence[VQARecord]]) -> Choices | None:
        if not any(record.choices for records in drawn for record in records):
            return None
        texts = self.encoding.texts([[record.choices for record in records] for records in drawn])
        keep, scores = torch.zeros(texts.keep.shape[:3], dtype=torch.bool), torch.zeros(texts.keep.shape[:3])
        for row, records in enumerate(drawn):
            for column, record in enumerate(records):
                offered = len(record.choices)
                keep[row, column, :offered] = True
                scored = choice_scores(record.choices, record.answers, self.answers.normalised)
                scores[row, column, :offered] = torch.tensor(scored)
        return Choices(texts, keep, scores)

    def _draw(self, records: Sequence[VQARecord]) -> Sequence[VQARecord]:
        if self.questions is None or len(records) <= self.questions:
            return records
        return [records[index] for index in torch.randperm(len(records))[: self.questions].tolist()]


@dataclass(frozen=True)
class AnswerClasses:
    """Which answers of the training questions become classes.

    minimum_count: those that are right for at least so many questions.
    most: at most so many, the most frequent; None takes all.
    normalise: whether answers are brought to VQA's normal form first.
    """

    minimum_count: int = 1
    most: int | None = None
    normalise: bool = True


class VQAData(PictureData[VQARecord, VQASource]):
    """Questions by split; see `PictureData` for the arguments that both tasks share.

    Args:
        questions_per_image: how many questions of a picture a training batch has, drawn anew each time; None takes all.
        minimum_count: words seen less often in the training questions are unknown.
        classes: which answers there are to choose from.
    """

    def __init__(
        self,
        train: VQASource | None = None,
        val: VQASource | None = None,
        test: VQASource | None = None,
        loading: Loading = Loading(),
        questions_per_image: int | None = None,
        minimum_count: int = 1,
        classes: AnswerClasses = AnswerClasses(),
    ) -> None:
        super().__init__(train, val, test, loading)
        self.questions_per_image = questions_per_image
        self.minimum_count = minimum_count
        self.classes = classes

    def check(self, split: str, records: Sequence[VQARecord]) -> None:
        """Raise DataError where a question has no words, or no answer; those of "test" need none."""
        for record in records:
            wordless = not tokenize(record.question)
            if wordless or (split != "test" and not record.answers):
                where = f"question {record.question_id} of the {split} split, {record.question!r}, about {record.image}"
                lacks = "words: give it some" if wordless else "answer: give it one"
                raise DataError(f"{where} has no {lacks}, or leave it out")

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words of the training questions, their facts and choices; a list, so that it can go into a checkpoint.

        What comes with several questions, as a picture's captions do, is counted each time.
        """
        records = self.records("train")
        texts = (text for record in records for text in (record.question, *record.facts, *record.choices))
        split = lru_cache(maxsize=None)(tokenize)  # a dialogue's facts come again each round, its choices everywhere
        return list(Vocabulary.build(map(split, texts), self.minimum_count).words)

    @cached_property
    def answers(self) -> list[str]:
        """The answers that a classifier chooses from; a plain list, so that it can go into a checkpoint."""
        given = (record.answers for record in self.records("train"))
        built = AnswerVocabulary.build(given, self.classes.minimum_count, self.classes.most, self.classes.normalise)
        return list(built.answers)

    def items(self, split: str) -> Sequence[Sequence[VQARecord]]:
        """The questions of each picture."""
        pictures: dict[object, list[VQARecord]] = {}
        for record in self.records(split):
            pictures.setdefault(record.image, []).append(record)
        return list(pictures.values())

    def attach(  # type: ignore[override]
        self, encoder: Encoder, words: Sequence[str], answers: Sequence[str], splits: Collection[str] = SPLITS
    ) -> None:
        """As `PictureData.attach`, and number the answers as the model does."""
        super().attach(encoder, words, splits)
        self._answers = AnswerVocabulary(tuple(answers), self.classes.normalise)

    def collate(self, split: str, loader: VisualLoader, words: Sequence[str]) -> VQACollate:
        """What makes batches of a split; `words` is the model's vocabulary."""
        questions = self.questions_per_image if split == "train" else None
        if split == "train":
            self._tell_unknown()
        return VQACollate(loader, Vocabulary(words), self._answers, questions)

    def _tell_unknown(self) -> None:
        """Say how many training questions teach nothing, because no answer to them is known."""
        free = [record for record in self.records("train") if not record.choices]
        unknown = sum(not self._answers.knows(record.answers) for record in free)
        if unknown:
            logger.warning(
                "%d of %d training questions (%.1f %%) have no answer among the %d known ones and teach nothing; "
                "data.classes.minimum_count and most say which are known",
                *(unknown, len(free), 100 * unknown / len(free), len(self._answers)),
            )
