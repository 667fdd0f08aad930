"""Scores of answers to a whole data set, overall and by type of question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from common import measures as measured
from common.data.records import VQARecord
from common.data.results import Id, some
from common.errors import DataError
from common.statistics import grouped, ratio
from vqa.metrics.accuracy import Version, exact_match, vizwiz_accuracy, vqa_accuracy
from vqa.metrics.wups import Similarity, Wups

VQA, VIZWIZ, EXACT = "VQA accuracy", "accuracy of the VizWiz challenge", "exact matches of the items listed"

Measure: TypeAlias = Callable[[str, Sequence[str]], float]  # (prediction, annotators' answers) -> 0..1


def measures_for(
    records: Sequence[VQARecord], similarity: Similarity | None = None, version: Version = "2021"
) -> dict[str, Measure]:
    """The measures that fit a data set: VQA accuracy for several annotators, VizWiz's for its questions, exact matches
    for one annotator; and WUPS at 0.9 and 0.0 as well where a similarity of words is given.
    """
    accuracies: dict[str, Measure] = {
        VQA: partial(vqa_accuracy, version=version),
        VIZWIZ: vizwiz_accuracy,
        EXACT: exact_match,
    }
    measures = {"accuracy": accuracies[_accuracy_of(records)]}
    if similarity is not None:
        measures |= {f"WUPS@{threshold}": Wups(similarity, threshold) for threshold in (0.9, 0.0)}
    return measures


def scored_with(records: Sequence[VQARecord], version: Version = "2021") -> dict[str, str]:
    """What `measures_for` scores with and against, to be printed and saved beside the scores."""
    name = _accuracy_of(records)
    since = {"2021": "since March 2021", "2015": "before March 2021"}[version]
    answers = sum(len(record.answers) for record in records)
    return {
        "accuracy": f"{name}, the official script {since} (version {version})" if name == VQA else name,
        "true answers": f"{answers:,} to {len(records):,} questions",
    }


def _accuracy_of(records: Sequence[VQARecord]) -> str:
    if any(record.scoring.answerable is not None for record in records):
        return VIZWIZ
    return VQA if any(len(record.answers) > 1 for record in records) else EXACT


def score_each(predictions: Mapping[Id, str], records: Sequence[VQARecord], measure: Measure) -> list[float]:
    """One measure of the answer to each question, in 0..1, in the records' order; raises as `score_answers`."""
    check_predictions(predictions, records)
    return [measure(predictions[record.question_id], record.answers) for record in records]


def score_answers(
    predictions: Mapping[Id, str], records: Sequence[VQARecord], measures: Mapping[str, Measure] | None = None
) -> dict[str, float]:
    """Each measure, times 100, over all questions ("accuracy") and over those of each type ("accuracy/yes-no").

    predictions: the answer to each question, by question id, for exactly the records' questions.
    measures: by name; None takes those that fit (see `measures_for`).
    Raises DataError where ids do not fit, no answer says anything, or a question has no answer to score against.
    """
    check_predictions(predictions, records)
    scores: dict[str, float] = {}
    for name, measure in (measures or measures_for(records)).items():
        each = [measure(predictions[record.question_id], record.answers) for record in records]
        scores |= by_type(name, each, records)
    return scores


def measure_answers(
    predictions: Mapping[Id, str], records: Sequence[VQARecord], measures: Mapping[str, Measure] | None = None
) -> dict[str, measured.Measure]:
    """The scores of `score_answers` with each picture's part in them, so that two runs can be compared.

    Questions about one picture go together, as they are not independent; errors as `score_answers`.
    """
    found: dict[str, measured.Measure] = {}
    for name, measure in (measures or measures_for(records)).items():
        groups = defaultdict(list)
        for score, record in zip(score_each(predictions, records, measure), records, strict=True):
            for group in (name, *(f"{name}/{kind}" for kind in record.types)):
                groups[group].append((100 * score, record.image_id))
        for group, pairs in groups.items():
            values, pictures = zip(*pairs, strict=True)
            found[group] = measured.Measure(grouped(list(values), pictures), ratio)
    return found


def by_type(name: str, scores: Sequence[float], records: Sequence[VQARecord]) -> dict[str, float]:
    """The mean, times 100, of the questions' scores in 0..1, and that of each type's, rounded as the official script's.

    (It divides the sum times 100, and a mean times 100 may differ in the last digit.)
    """
    groups = defaultdict(list)
    for score, record in zip(scores, records, strict=True):
        for group in (name, *(f"{name}/{kind}" for kind in record.types)):
            groups[group].append(score)
    return {group: 100 * sum(values) / len(values) for group, values in groups.items()}


def check_choices(predictions: Mapping[Id, str], records: Sequence[VQARecord]) -> None:
    """Raise DataError where an answer is none of the choices that its question offers, as the official script does."""
    if strange := [
        record.question_id
        for record in records
        if record.choices and predictions[record.question_id] not in record.choices
    ]:
        raise DataError(f"{len(strange)} answers are none of the choices offered, such as those to {some(strange)}")


def check_predictions(predictions: Mapping[Id, str], records: Sequence[VQARecord]) -> None:
    """Raise DataError unless there is one answer to each question, and true ones to score all of them against."""
    asked = {record.question_id for record in records}
    if not asked:
        raise DataError("no questions to score answers to: give at least one record")
    if len(asked) < len(records):
        raise DataError(f"{len(records) - len(asked)} question ids occur more than once: each question needs its own")
    if missing := asked - predictions.keys():
        raise DataError(f"{len(missing)} of {len(asked)} questions are not answered, such as {some(missing)}")
    if extra := predictions.keys() - asked:
        raise DataError(f"{len(extra)} answers are to unknown questions, such as {some(extra)}")
    if unscored := [record.question_id for record in records if not record.answers]:
        raise DataError(f"{len(unscored)} questions have no true answer to score against, such as {some(unscored)}")
    if not any(answer.strip() for answer in predictions.values()):
        raise DataError(f"all {len(asked)} answers are empty: see what wrote them")
