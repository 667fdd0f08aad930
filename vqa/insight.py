"""What answers tell of a model: what it confuses, what it knows without looking, and what it may have learned from."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from common.data.records import VQARecord
from common.data.results import Id
from common.data.tokenizer import tokenize
from common.errors import DataError
from vqa.answers import most_common_answer, normalise_answer

OTHERS = "others"
UNTYPED = "all questions"


@dataclass(frozen=True)
class Confusion:
    """What was answered where: the questions of one type by their true answer (rows) and the given one (columns).

    answers: the most frequent true answers, then `OTHERS` if there are any, for rows and columns alike. counts: [A A].
    right: how often the given answer is the true one, be it among the others.
    """

    kind: str
    answers: tuple[str, ...]
    counts: Int[np.ndarray, "A A"]
    right: int


def confusions(predictions: Mapping[Id, str], records: Sequence[VQARecord], most: int = 7) -> list[Confusion]:
    """A confusion for each type of answer, the most frequent type first; answers in VQA's normal form.

    The type is the last of a record's `types`, the answer type of VQA; the true answer is the most common one.
    most: how many answers have a row of their own.
    """
    pairs = defaultdict(list)
    for record in records:
        given = normalise_answer(predictions[record.question_id])
        pairs[answer_type(record)].append((most_common_answer(record.answers), given))
    ordered = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_confusion(kind, asked, most) for kind, asked in ordered]


def answer_type(record: VQARecord) -> str:
    """The last of its types."""
    return record.types[-1] if record.types else UNTYPED


def _confusion(kind: str, pairs: Sequence[tuple[str, str]], most: int) -> Confusion:
    frequent = [answer for answer, _ in Counter(true for true, _ in pairs).most_common(most)]
    numbers = {answer: number for number, answer in enumerate(frequent)}
    counts = np.zeros((len(frequent) + 1, len(frequent) + 1), dtype=np.int64)
    for true, given in pairs:
        counts[numbers.get(true, -1), numbers.get(given, -1)] += 1
    right = sum(true == given for true, given in pairs)
    if counts[-1].any() or counts[:, -1].any():
        return Confusion(kind, (*frequent, OTHERS), counts, right)
    return Confusion(kind, tuple(frequent), counts[:-1, :-1], right)


@dataclass(frozen=True)
class PriorGap:
    """What looking at the picture is worth to the questions of a type: scores in percent, with and without it."""

    kind: str
    seeing: float
    blind: float

    @property
    def gap(self) -> float:
        """Points that the picture adds."""
        return self.seeing - self.blind


def prior_gaps(seeing: Mapping[str, float], blind: Mapping[str, float]) -> list[PriorGap]:
    """The gap of each score that both have, as `score_answers` names them: all questions first, then by type.

    blind: the scores of a model that sees the question alone. Raises DataError where nothing can be compared.
    """
    shared = [name for name in seeing if name in blind]
    if not shared:
        raise DataError("the two results have no score in common: score both on the same questions")
    return [PriorGap(name, seeing[name], blind[name]) for name in shared]


@dataclass(frozen=True)
class Neighbour:
    """A training question in its own words, how like it is in 0..1, and how often it was asked with which answer."""

    question: str
    likeness: float
    answers: tuple[tuple[str, int], ...]

    @property
    def asked(self) -> int:
        """How often."""
        return sum(count for _, count in self.answers)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, how sure it was in 0..1, and the most common true one."""

    record: VQARecord
    answer: str
    confidence: float
    truth: str


def surest_mistakes(
    predictions: Mapping[Id, str],
    confidences: Mapping[Id, float],
    scores: Sequence[float],
    records: Sequence[VQARecord],
    most: int = 10,
) -> list[Mistake]:
    """The answers with a score of 0 that were the surest, the surest first.

    scores: of each record, in 0..1. Each question's words count once: others would say the same.
    """
    wrong = [record for record, score in zip(records, scores, strict=True) if score == 0]
    distinct: dict[tuple[str, ...], VQARecord] = {}
    for record in sorted(wrong, key=lambda record: -confidences[record.question_id]):
        distinct.setdefault(tuple(tokenize(record.question)), record)
    return [
        Mistake(
            record,
            predictions[record.question_id],
            confidences[record.question_id],
            most_common_answer(record.answers, normalised=False),
        )
        for record in list(distinct.values())[:most]
    ]


class NearestQuestions:
    """The training questions that are most like one, by their words: the cosine of TF-IDF vectors (Salton 1988).

    A word weighs its count times log((1 + N) / (1 + questions that have it)) + 1; order does not matter, nor does the
    model. Questions of the same words are one, with the answers of all.
    """

    def __init__(self, records: Sequence[VQARecord]) -> None:
        """Raises DataError where no question has words."""
        self._questions: list[str] = []
        self._answers: list[Counter[str]] = []
        numbers: dict[tuple[str, ...], int] = {}
        for record in records:
            words = tuple(tokenize(record.question))
            if words and words not in numbers:
                numbers[words] = len(numbers)
                self._questions.append(record.question)
                self._answers.append(Counter())
            if words and record.answers:
                self._answers[numbers[words]][most_common_answer(record.answers)] += 1
        if not numbers:
            raise DataError("there are no training questions to look for neighbours among")
        self._index_words(numbers)

    def _index_words(self, numbers: Mapping[tuple[str, ...], int]) -> None:
        """For each word the questions that have it, with its share of each one's vector."""
        having = Counter(word for words in numbers for word in set(words))
        self._rarity = {word: math.log((1 + len(numbers)) / (1 + count)) + 1 for word, count in having.items()}
        entries = defaultdict(list)
        for words, number in numbers.items():
            for word, weight in self._vector(words).items():
                entries[word].append((number, weight))
        self._entries = {
            word: (np.array(found)[:, 0].astype(int), np.array(found)[:, 1]) for word, found in entries.items()
        }

    def _vector(self, words: Sequence[str]) -> dict[str, float]:
        """The weights of the known words, of length 1 together."""
        weights = {word: count * self._rarity[word] for word, count in Counter(words).items() if word in self._rarity}
        length = math.hypot(*weights.values())
        return {word: weight / length for word, weight in weights.items()}

    def find(self, question: str, most: int = 5) -> list[Neighbour]:
        """The most similar questions that share a word with it, the nearest first."""
        likeness: Float[np.ndarray, " Q"] = np.zeros(len(self._questions))
        for word, weight in self._vector(tokenize(question)).items():
            numbers, shares = self._entries[word]
            likeness[numbers] += weight * shares
        best = np.argsort(-likeness, kind="stable")[:most]
        return [
            Neighbour(
                self._questions[number], min(float(likeness[number]), 1.0), tuple(self._answers[number].most_common())
            )
            for number in best.tolist()
            if likeness[number] > 0
        ]
