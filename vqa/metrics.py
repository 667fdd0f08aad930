"""Accuracy of answers: the official VQA score, exact matches and WUPS, overall and by type of question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from common.data.records import VQARecord
from common.errors import DataError
from vqa.answers import leave_one_out, normalise_answer, normalise_words, strip_answer, strip_punctuation
from vqa.wups import Similarity, Wups, answer_items

Version: TypeAlias = Literal["2021", "2017"]
Measure: TypeAlias = Callable[[str, Sequence[str]], float]  # (prediction, annotators' answers) -> 0..1


def vqa_accuracy(prediction: str, answers: Sequence[str], version: Version = "2021") -> float:
    """The official VQA accuracy, in 0..1: the mean over annotators of min(1, matches among the others / 3).

    version: "2021", the script since March 2021, normalises both sides alike, and neither where all annotators gave the
    same answer: then the prediction must equal it to the letter. "2017", the script before, always normalises the
    prediction and takes only the punctuation from differing answers, so that an annotator's "two" never matches.
    """
    if version == "2021":
        prediction, *answers = map(strip_answer, (prediction, *answers))
        if len(set(answers)) > 1:
            prediction, *answers = (normalise_words(strip_punctuation(text)) for text in (prediction, *answers))
    else:
        prediction = normalise_answer(prediction)
        if len(set(answers)) > 1:
            answers = [strip_punctuation(answer) for answer in answers]
    return leave_one_out(sum(answer == prediction for answer in answers), len(answers))


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction lists the same items as the answer, in any order, else 0 (DAQUAR's accuracy); the mean
    over annotators where there are several.
    """
    predicted = set(answer_items(prediction))
    return fmean(predicted == set(answer_items(answer)) for answer in answers)


def measures_for(records: Sequence[VQARecord], similarity: Similarity | None = None) -> dict[str, Measure]:
    """The measures that fit a data set: VQA accuracy for several annotators, exact matches for one; and WUPS at 0.9 and
    0.0 as well where a similarity of words is given.
    """
    several = any(len(record.answers) > 1 for record in records)
    measures: dict[str, Measure] = {"accuracy": vqa_accuracy if several else exact_match}
    if similarity is not None:
        measures |= {f"WUPS@{threshold}": Wups(similarity, threshold) for threshold in (0.9, 0.0)}
    return measures


def score_answers(
    predictions: Mapping[int | str, str], records: Sequence[VQARecord], measures: Mapping[str, Measure] | None = None
) -> dict[str, float]:
    """Each measure, times 100, over all questions ("accuracy") and over those of each type ("accuracy/yes-no").

    predictions: the answer to each question, by question id, for exactly the records' questions.
    measures: by name; None takes those that fit (see `measures_for`).
    Raises DataError where ids do not fit or a question has no answer to score against.
    """
    _check(predictions, records)
    scores = defaultdict(list)
    for name, measure in (measures or measures_for(records)).items():
        for record in records:
            score = 100 * measure(predictions[record.question_id], record.answers)
            for group in (name, *(f"{name}/{group}" for group in record.types)):
                scores[group].append(score)
    return {group: fmean(values) for group, values in scores.items()}


def _check(predictions: Mapping[int | str, str], records: Sequence[VQARecord]) -> None:
    asked = {record.question_id for record in records}
    if not asked:
        raise DataError("no questions to score answers to: give at least one record")
    if len(asked) < len(records):
        raise DataError(f"{len(records) - len(asked)} question ids occur more than once: each question needs its own")
    if missing := asked - predictions.keys():
        raise DataError(f"{len(missing)} of {len(asked)} questions are not answered, such as {min(missing, key=str)!r}")
    if extra := predictions.keys() - asked:
        raise DataError(f"{len(extra)} answers are to unknown questions, such as {min(extra, key=str)!r}")
    if unscored := [record.question_id for record in records if not record.answers]:
        raise DataError(f"{len(unscored)} questions have no true answer to score against, such as {unscored[0]!r}")
