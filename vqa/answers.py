"""Answers as text (the official VQA normalisation) and as classes (vocabulary and soft targets)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from common.errors import DataError

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'  # the apostrophe, colon, $, %, & and others stay
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = {"a", "an", "the"}
_CONTRACTED = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've
    must've mustn't needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've
    somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
    that's there'd there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't
    what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
# The official table restores one lost apostrophe; one entry takes one away instead, a slip that scores depend on.
_CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTED.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}

_THOUSANDS = re.compile(r"\d,\d")
_PERIOD = re.compile(
    r"\.(?!\d)"
)  # the official pattern's look-behind is mistyped and does nothing: "3." loses its period
_MOST_PERIODS = 32  # the official script passes re.UNICODE, which is 32, where `re.sub` takes a count


def strip_answer(text: str) -> str:
    """The answer on one line and without outer white space, which is as much as the official script always does."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def strip_punctuation(text: str) -> str:
    """Replace punctuation as the official script's `processPunctuation`.

    A mark becomes a space, or nothing where it stands next to a space anywhere in the text; one comma between digits
    makes nothing of every mark. Periods go unless a digit follows.
    """
    thousands = _THOUSANDS.search(text) is not None
    marks = {ord(mark): "" if thousands or f"{mark} " in text or f" {mark}" in text else " " for mark in _PUNCTUATION}
    return _PERIOD.sub("", text.translate(marks), count=_MOST_PERIODS)


def normalise_words(text: str) -> str:
    """Lower case, numerals for number words, no articles, apostrophes restored: the script's `processDigitArticle`."""
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


@lru_cache(maxsize=1 << 18)  # 4.4 million answers of VQA v2 are 150,000 different ones
def normalise_answer(text: str) -> str:
    """The whole normalisation of the official VQA evaluation (vqaEval.py), its quirks included."""
    return normalise_words(strip_punctuation(strip_answer(text)))


def leave_one_out(matches: int, annotators: int) -> float:
    """The VQA accuracy of an answer that `matches` of the annotators gave: the mean over annotators of min(1, m / 3),
    where m counts the matches among the others. With ten annotators: 0, 0.3, 0.6, 0.9, 1 for 0, 1, 2, 3, more matches.
    """
    by_agreeing = matches * min(1.0, (matches - 1) / 3)
    by_differing = (annotators - matches) * min(1.0, matches / 3)
    return (by_agreeing + by_differing) / annotators


@dataclass(frozen=True)
class AnswerVocabulary:
    """The answers that a classifier chooses from; a checkpoint keeps its two fields.

    answers: by class number. normalised: whether they are in VQA's normal form, as annotators' answers then must be
    before they are looked up; DAQUAR's ("tape_dispenser", "book, scissor") are kept as they are written.
    """

    answers: Sequence[str]
    normalised: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", tuple(self.answers))  # a checkpoint gives a list back

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, index: int) -> str:
        return self.answers[index]

    @cached_property
    def index(self) -> dict[str, int]:
        """The class number of each answer."""
        return {answer: number for number, answer in enumerate(self.answers)}

    def knows(self, answers: Sequence[str]) -> bool:
        """Whether some annotator's answer is one of them."""
        return any(map(self.index.__contains__, map(_form(self.normalised), answers)))

    @classmethod
    def build(
        cls, ground_truth: Iterable[Sequence[str]], minimum: int = 1, size: int | None = None, normalised: bool = True
    ) -> AnswerVocabulary:
        """Collect the answers that are the most common one of at least `minimum` questions, or the `size` most
        frequent of these; the most frequent comes first, equally frequent ones in alphabetical order.

        ground_truth: each question's answers by its annotators. Published VQA v2 models take those of at least 9
            questions of train and val: 3,129 answers.
        Raises DataError when no answer is left.
        """
        labels = (most_common_answer(answers, normalised) for answers in ground_truth if answers)
        counts = Counter(label for label in labels if label)
        frequent = sorted((answer for answer in counts if counts[answer] >= minimum), key=lambda a: (-counts[a], a))
        if not frequent:
            raise DataError(f"none of {len(counts)} answers is given to {minimum} questions: lower the minimum count")
        return cls(frequent[:size], normalised)


def most_common_answer(answers: Sequence[str], normalised: bool = True) -> str:
    """The answer that most annotators gave, the first given of equally common ones."""
    return Counter(map(_form(normalised), answers)).most_common(1)[0][0]


def soft_targets(answers: Sequence[str], vocabulary: AnswerVocabulary) -> dict[int, float]:
    """The score in (0, 1] of each class that some annotator gave; empty where the vocabulary has none of their answers.

    Ten annotators give the official min(1, 0.3 n); three or fewer, which leave-one-out cannot score, their shares.
    """
    counts = Counter(map(_form(vocabulary.normalised), answers))
    scores = {}
    for answer, count in counts.items():
        if (number := vocabulary.index.get(answer)) is not None:
            scores[number] = leave_one_out(count, len(answers)) if len(answers) > 3 else count / len(answers)
    return scores


def vote_shares(answers: Sequence[str], vocabulary: AnswerVocabulary) -> dict[int, float]:
    """The share of the annotators that gave each class; those whose answer the vocabulary has not are nowhere."""
    counts = Counter(map(_form(vocabulary.normalised), answers))
    numbers = ((vocabulary.index.get(answer), count) for answer, count in counts.items())
    return {number: count / len(answers) for number, count in numbers if number is not None}


def choice_scores(choices: Sequence[str], answers: Sequence[str], normalised: bool = True) -> list[float]:
    """The score in 0..1 of each answer on offer, as `soft_targets` has it."""
    offered = AnswerVocabulary(tuple(map(_form(normalised), choices)), normalised)
    scores = soft_targets(answers, offered)
    return [scores.get(offered.index[choice], 0.0) for choice in offered.answers]


def _form(normalised: bool) -> Callable[[str], str]:
    return normalise_answer if normalised else strip_answer
