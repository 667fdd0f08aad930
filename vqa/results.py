"""Results files of the servers that score answers (evalai.org), each refused before anything is written unless its ids
are exactly those that were asked.

VQA, v1 and v2, and OK-VQA: `[{"question_id": 42, "answer": "red"}]`, by convention named
v2_OpenEnded_mscoco_test2015_ALGORITHM_results.json. VizWiz: `[{"image": "VizWiz_test_00000000.jpg", "answer": "red"}]`.
GQA: `[{"questionId": "201307251", "prediction": "red"}]`, for all of submission_all_questions.json. Visual Dialog:
`[{"image_id": 42, "round_id": 3, "ranks": [2, 1, 3]}]`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from common.data.records import Prediction, VQARecord
from common.data.results import Id, check_ids, write_entries, write_results
from common.errors import DataError

Form: TypeAlias = Literal["vqa", "vizwiz", "gqa", "visdial"]
KEYS: dict[str, tuple[str, str]] = {
    "vqa": ("question_id", "answer"),
    "vizwiz": ("image", "answer"),
    "gqa": ("questionId", "prediction"),
}


def write_for_server(
    path: str | Path, predictions: Mapping[Id, Prediction], records: Sequence[VQARecord], form: Form = "vqa"
) -> None:
    """Write what a server wants of predictions by question id; raises as `write_answers` and `write_ranks`."""
    if form == "visdial":
        write_ranks(path, {key: each.choice_scores for key, each in predictions.items()}, records)
        return
    texts = {key: each.text for key, each in predictions.items()}
    write_answers(path, texts, [record.question_id for record in records], form)


def write_answers(
    path: str | Path, answers: Mapping[Id, str], expected: Collection[Id] | None = None, form: str = "vqa"
) -> None:
    """Write answers by question id; raises DataError, and writes nothing, unless the ids are the expected ones."""
    write_results(path, answers, KEYS[form], expected)


def write_ranks(path: str | Path, scores: Mapping[Id, Sequence[float]], records: Sequence[VQARecord]) -> None:
    """Write Visual Dialog's ranks of each record's choices, 1 for the best; equal scores keep the choices' order.

    scores: of each choice, the higher the better, by question id.
    Raises DataError, and writes nothing, where a record lacks a score, or an id is not of a round ("42-3").
    """
    check_ids(scores.keys(), [record.question_id for record in records], path)
    entries = []
    for record in records:
        given, number = scores[record.question_id], str(record.question_id).rpartition("-")[2]
        if not record.choices:
            raise DataError(f"{path}: round {record.question_id!r} offers no answers: read them with `choices: true`")
        if len(given) != len(record.choices) or any(score != score for score in given):
            raise DataError(
                f"{path}: round {record.question_id!r} offers {len(record.choices)} answers, which need as many scores "
                f"that are numbers, not {len(given)}"
            )
        if not isinstance(record.question_id, str) or not number.isdecimal():
            raise DataError(f"{path}: question {record.question_id!r} is no round of a dialogue, such as '42-3'")
        order = sorted(range(len(given)), key=lambda choice: -given[choice])
        ranks = {choice: rank for rank, choice in enumerate(order, start=1)}
        listed = [ranks[choice] for choice in range(len(given))]
        entries.append({"image_id": record.image_id, "round_id": int(number), "ranks": listed})
    write_entries(path, entries)
