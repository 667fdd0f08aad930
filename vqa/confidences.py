"""Answers with how sure each is, as scripts hand them on: a VQA results file with a `"confidence"` in each entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.data.records import Prediction
from common.data.results import Id, read_entries, write_entries
from common.errors import DataError
from vqa.results import KEYS

CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Answers:
    """Answers by question id, and how sure each is, in 0..1; no confidences where the file has none."""

    texts: dict[Id, str]
    confidences: dict[Id, float]


def write_confidences(path: str | Path, predictions: Mapping[Id, Prediction]) -> None:
    """Write answers with their confidences; raises DataError where the file or a text cannot be written."""
    keys = (*KEYS["vqa"], CONFIDENCE)
    write_entries(
        path,
        [dict(zip(keys, (key, each.text, min(each.score, 1.0)), strict=True)) for key, each in predictions.items()],
    )


def read_answers(path: str | Path) -> Answers:
    """The answers in such a file, or in a plain VQA results file.

    Raises DataError where it is none, only some entries have a confidence, or one is not in 0..1.
    """
    (_, answer), entries = read_entries(path, [KEYS["vqa"]])
    sure = {key: entry[CONFIDENCE] for key, entry in entries.items() if CONFIDENCE in entry}
    if sure and len(sure) < len(entries):
        raise DataError(f"{path}: {len(entries) - len(sure)} of {len(entries)} answers have no confidence: all or none")
    for key, value in sure.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise DataError(f"{path}: the confidence of question {key!r} is {value!r}, which is not in 0..1")
    return Answers({key: entry[answer] for key, entry in entries.items()}, sure)
