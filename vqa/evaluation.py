"""Scores of a VQA model on a data set: answers against annotators' and, where boxes are known, looks against places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from common.attention import Words
from common.data.images import image_size
from common.data.records import Prediction, VQARecord
from common.explain.grounding import PointingGame
from vqa.answers import most_common_answer
from vqa.data import VQABatch
from vqa.ensemble import VQAEnsemble, answer_together
from vqa.metrics import (
    Measure,
    answerability,
    consensus,
    distribution,
    gqa_scores,
    grounding_share,
    measures_for,
    ndcg,
    score_answers,
    score_confidences,
    score_each,
    score_ranking,
)
from vqa.module import VQAModule

UNANSWERABLE = "unanswerable"


def answer_all(module: VQAModule, loader: Iterable[VQABatch]) -> dict[int | str, Prediction]:
    """An answer to each question of a loader, by question id."""
    module.eval()
    return answer_together(VQAEnsemble([module]), [loader])


class KnownAnswers(NamedTuple):
    """What a model that answers from known answers makes of N questions, and how right each answer is; see
    `AnswerObjective`."""

    logits: Float[Tensor, "N A"]
    scores: Float[Tensor, "N A"]
    votes: Float[Tensor, "N A"]


@torch.no_grad()
def collect_logits(module: VQAModule, loader: Iterable[VQABatch], most: int = 20_000) -> KnownAnswers:
    """Of the first `most` questions of a loader, on the CPU: what a temperature is fitted on. So many do for one
    number, and take 0.75 GB where there are 3,129 answers."""
    batches: list[tuple[Tensor, Tensor, Tensor]] = []
    module.eval()
    for batch in tqdm(loader, desc="logits", unit="batch"):
        asked = batch.asked
        logits = module(batch.to(module.device)).logits.cpu()[asked].float()
        batches.append((logits, batch.targets[asked], batch.votes[asked]))
        if sum(len(each) for each, _, _ in batches) >= most:
            break
    return KnownAnswers(*(torch.cat(parts)[:most] for parts in zip(*batches, strict=True)))


def score(
    records: Sequence[VQARecord],
    predictions: Mapping[int | str, Prediction],
    measures: Mapping[str, Measure] | None = None,
) -> dict[str, float]:
    """Every measure that the records allow, in percent, by name; `measures` as in `score_answers`, the first of which
    is what confidences are held to."""
    measures = measures or measures_for(records)
    texts = {record.question_id: predictions[record.question_id].text for record in records}
    scores = score_answers(texts, records, measures)
    scores |= gqa_scores(texts, records) | ranking(records, predictions)
    if any(record.scoring.group for record in records):
        scores |= {"distribution": distribution(texts, records)} | attention_inside(records, predictions)
    if any(record.scoring.answerable is not None for record in records):
        scores |= answerable(records, predictions)
    each = score_each(texts, records, next(iter(measures.values())))
    if groups := rephrasings(records, each):
        scores |= consensus(groups)
    sure = [min(predictions[record.question_id].score, 1.0) for record in records]  # rounded, it may be just above
    scores |= score_confidences(sure, each)
    if any(len(record.focus) == 1 for record in records):
        scores |= grounding(records, predictions)
    return scores


def answerable(records: Sequence[VQARecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """How well a model tells the questions that cannot be answered, by how likely it finds that answer of VizWiz's."""
    told = [record for record in records if record.scoring.answerable is not None]
    unlikely = []
    for record in told:
        prediction = predictions[record.question_id]
        ranked = {each.text: each.score for each in (prediction, *prediction.alternatives)}
        unlikely.append(1 - min(ranked.get(UNANSWERABLE, 0.0), 1.0))
    return answerability(unlikely, [bool(record.scoring.answerable) for record in told])


def ranking(records: Sequence[VQARecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """R@k, MRR and the mean rank of the true answer among those on offer, and NDCG where their relevance is known; of
    the questions whose choices the model has scored."""
    scored = [record for record in records if predictions[record.question_id].choice_scores]
    true = [(record, place) for record in scored if (place := _place_of_truth(record)) is not None]
    graded = [record for record in scored if any(record.scoring.relevance)]
    found: dict[str, float] = {}
    if true:
        given = _even([predictions[record.question_id].choice_scores for record, _ in true], -math.inf)
        found |= score_ranking(given, [place for _, place in true])
    if graded:
        given = _even([predictions[record.question_id].choice_scores for record in graded], -math.inf)
        found["NDCG"] = ndcg(given, _even([record.scoring.relevance for record in graded], 0.0))
    return found


def _place_of_truth(record: VQARecord) -> int | None:
    """The place of the most common answer among the choices, to the letter: "no" and "no." are two of a dialogue's."""
    if not record.answers:
        return None
    truth, choices = most_common_answer(record.answers, normalised=False), [" ".join(c.split()) for c in record.choices]
    return choices.index(truth) if truth in choices else None


def _even(rows: Sequence[Sequence[float]], missing: float) -> list[list[float]]:
    """Rows of one length: questions may have different numbers of choices."""
    longest = max(map(len, rows))
    return [[*row, *[missing] * (longest - len(row))] for row in rows]


def rephrasings(records: Sequence[VQARecord], scores: Sequence[float]) -> dict[int | str, list[float]]:
    """The scores of each question that is put in other words, and of its rephrasings."""
    asked = {record.scoring.rephrases for record in records} - {None}
    groups: dict[int | str, list[float]] = {}
    for record, score in zip(records, scores, strict=True):
        name = record.question_id if record.scoring.rephrases is None else record.scoring.rephrases
        if name in asked:
            groups.setdefault(name, []).append(score)
    return {name: found for name, found in groups.items() if len(found) > 1}


def attention_inside(records: Sequence[VQARecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """GQA's grounding, in percent: the mean over the questions of the attention inside the objects they point to."""
    shares = []
    for record in records:
        attention = predictions[record.question_id].maps.get("image")
        if attention is not None and record.focus and not isinstance(attention.key_layout, Words):
            shares.append(grounding_share(attention.weights.mean(0), attention.key_layout, record.focus))
    return {"grounding": 100 * fmean(shares)} if shares else {}


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
