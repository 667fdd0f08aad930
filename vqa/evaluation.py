"""Scores of a VQA model on a data set: answers against annotators' and, where boxes are known, looks against places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tqdm import tqdm

from common.data.images import image_size
from common.data.records import Prediction, VQARecord
from common.explain.grounding import PointingGame
from vqa.data import VQABatch
from vqa.metrics import Measure, score_answers
from vqa.module import VQAModule
from vqa.questions import Question


def answer_all(module: VQAModule, loader: Iterable[VQABatch]) -> dict[int | str, Prediction]:
    """An answer to each question of a loader, by question id."""
    predictions: dict[int | str, Prediction] = {}
    module.eval()
    for batch in tqdm(loader, desc="answers", unit="batch"):
        asked = [[Question.of(record) for record in records] for records in batch.records]
        for records, found in zip(batch.records, module.answer(batch.visual.to(module.device), asked), strict=True):
            predictions.update({record.question_id: each for record, each in zip(records, found, strict=True)})
    return predictions


def score(
    records: Sequence[VQARecord],
    predictions: Mapping[int | str, Prediction],
    measures: Mapping[str, Measure] | None = None,
) -> dict[str, float]:
    """Every measure that the records allow, in percent, by name; `measures` as in `score_answers`."""
    texts = {record.question_id: predictions[record.question_id].text for record in records}
    scores = score_answers(texts, records, measures)
    if any(len(record.focus) == 1 for record in records):
        scores |= grounding(records, predictions)
    return scores


def grounding(records: Sequence[VQARecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """The pointing game over the questions that single out one object: of the mean of all levels, and of each level."""
    games: dict[str, PointingGame] = {}
    for record in records:
        attention = predictions[record.question_id].maps.get("image")
        if attention is None or len(record.focus) != 1:
            continue
        size = image_size(record.image)
        names = ("", *attention.query_labels)
        for name, weights in zip(names, (attention.weights.mean(0), *attention.weights), strict=True):
            game = games.setdefault(name, PointingGame())
            game.add(weights, attention.key_layout, record.focus, size)  # type: ignore[arg-type]
    scores = games.pop("").report() if games else {}
    return scores | {f"pointing/{name}": 100 * game.result()["pointing"] for name, game in games.items()}
