"""What GQA asks of answers besides accuracy (Hudson and Manning 2019, section 4.4), as its `eval.py` computes it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor

from common.attention import Boxes, Grid
from common.data.records import NamedBox, VQARecord
from vqa.metrics.scores import Id


def gqa_scores(predictions: Mapping[Id, str], records: Sequence[VQARecord]) -> dict[str, float]:
    """Consistency, validity and plausibility, in percent, of those that the records allow.

    Consistency: of the questions that a right answer entails, the share that is answered right, too; the mean over the
    questions answered right. Needs answers to all entailed questions: one that lacks any does not count.
    Validity: the answer is of those that the question allows. Plausibility: it is common in the world.
    """
    right = {record.question_id: predictions[record.question_id] in record.answers for record in records}
    answered = [(predictions[record.question_id], record.scoring) for record in records]
    groups: dict[str, list[float]] = {
        "consistency": [share for record in records if (share := _entailed_right(record, right)) is not None],
        "validity": [answer in needs.valid for answer, needs in answered if needs.valid],
        "plausibility": [answer in needs.plausible for answer, needs in answered if needs.plausible],
    }
    return {name: 100 * fmean(found) for name, found in groups.items() if found}


def _entailed_right(record: VQARecord, right: Mapping[Id, bool]) -> float | None:
    """The share answered right of what a right answer entails; None where the question does not count."""
    entailed = [other for other in record.scoring.entailed if other != record.question_id]
    if not (right[record.question_id] and entailed and all(other in right for other in entailed)):
        return None
    return fmean(right[other] for other in entailed)


def distribution(predictions: Mapping[Id, str], records: Sequence[VQARecord]) -> float:
    """How far the answers' distribution is from the true one: chi-square by group, its mean, over 100; lower is better.

    Groups are those of the records' `scoring`; questions in none do not count. A group weighs as much as it has
    questions; what is answered but never true adds nothing.
    """
    true, given = defaultdict(Counter), defaultdict(Counter)  # type: ignore[var-annotated]
    for record in records:
        if group := record.scoring.group:
            true[group][record.answers[0]] += 1
            given[group][predictions[record.question_id]] += 1
    weighted = sum(_chi_square(true[name], given[name]) * true[name].total() for name in true)
    return weighted / max(sum(counts.total() for counts in true.values()), 1) / 100


def _chi_square(expected: Counter[str], observed: Counter[str]) -> float:
    return sum((observed[answer] - count) ** 2 / count for answer, count in expected.items())


def grounding_share(weights: Float[Tensor, " R"], layout: Grid | Boxes, focus: Sequence[NamedBox]) -> float:
    """GQA's grounding of one question: the attention inside the objects that its words point to.

    Each region counts by the share of it that an object covers; objects are added up, so that one region that lies in
    two of them counts twice.
    """
    cells = layout.rectangles()
    covered = torch.zeros_like(weights)
    for box in focus:
        x0, y0, x1, y1 = box.corners
        across = cells[:, 2].clamp(max=x1) - cells[:, 0].clamp(min=x0)
        down = cells[:, 3].clamp(max=y1) - cells[:, 1].clamp(min=y0)
        covered += across.clamp(min=0) * down.clamp(min=0)
    area = (cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])
    return float((weights * covered / area.clamp(min=1e-12)).sum())
