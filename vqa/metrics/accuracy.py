"""Accuracy of one answer: the official VQA script's, today's and the one before March 2021, VizWiz's, and DAQUAR's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean
from typing import Literal, TypeAlias

from vqa.answers import normalise_answer, strip_answer, strip_punctuation
from vqa.metrics.wups import answer_items

Version: TypeAlias = Literal["2021", "2015"]
CACHED = 1 << 18  # texts: all of VQA v2 has some 120,000 different answers

_normalised = lru_cache(CACHED)(normalise_answer)
_without_punctuation = lru_cache(CACHED)(strip_punctuation)
_stripped = lru_cache(CACHED)(strip_answer)


def vqa_accuracy(prediction: str, answers: Sequence[str], version: Version = "2021") -> float:
    """The official VQA accuracy, in 0..1: the mean over annotators of min(1, matches among the others / 3).

    version: "2021", the script since March 2021, normalises both sides alike, and neither where all annotators gave the
    same answer: then the prediction must equal it to the letter. "2015", the script before, with which all earlier
    results were made, always normalises the prediction and takes only the punctuation from differing answers, so that
    an annotator's "two" never matches.
    """
    if version == "2021":
        prediction, answers = _stripped(prediction), [_stripped(answer) for answer in answers]
        if len(set(answers)) > 1:
            prediction, answers = _normalised(prediction), [_normalised(answer) for answer in answers]
    else:
        prediction = _normalised(prediction)
        if len(set(answers)) > 1:
            answers = [_without_punctuation(answer) for answer in answers]
    return mean_over_annotators(tuple([answer == prediction for answer in answers]))


def vizwiz_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """The accuracy of the VizWiz challenge, in 0..1: only the prediction is normalised, as its answers are already."""
    prediction = _normalised(prediction)
    return mean_over_annotators(tuple([answer == prediction for answer in answers]))


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction lists the same items as the answer, in any order, else 0 (DAQUAR's accuracy); the mean
    over annotators where there are several.
    """
    predicted = set(answer_items(prediction))
    return fmean(predicted == set(answer_items(answer)) for answer in answers)


@lru_cache(1 << 12)  # ten annotators agree with a prediction in 1,024 ways
def mean_over_annotators(agree: tuple[bool, ...]) -> float:
    """The mean of min(1, matches among the other annotators / 3), in 0..1, added up in the official script's order.

    `leave_one_out` is the same but for the last digit, on which it may depend how a score is rounded.
    """
    matches = sum(agree)
    return sum(min(1, (matches - own) / 3) for own in agree) / len(agree)
