"""The records that dataset readers make (paths and text, nothing decoded) and the predictions that models return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from common.attention.maps import AttentionMap


@dataclass(frozen=True)
class NamedBox:
    """An object in a picture: corners (x0, y0, x1, y1) in fractions of the picture, its name, and its attributes."""

    corners: tuple[float, float, float, float]
    name: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionRecord:
    """One picture and its reference captions (none for pictures that are only to be captioned).

    types: names of the groups that its caption is scored in, such as ("near-domain",).
    """

    image: Path
    image_id: int | str
    captions: tuple[str, ...] = ()
    boxes: tuple[NamedBox, ...] = ()
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """What the measures of some data sets need besides a question's answers; empty where a data set does not tell.

    answerable: whether the picture shows what the question asks for (VizWiz).
    entailed: ids of the questions that whoever knows this question's answer can answer, too (GQA's consistency).
    valid, plausible: the answers that the question allows, and those that are common in the world (GQA).
    group: questions of one group have their answers' distribution compared with the true one (GQA's "global" group).
    rephrases: id of the question that is put in other words (VQA-Rephrasings' consensus).
    relevance: how right each of the record's `choices` is, in 0..1 (Visual Dialog's NDCG).
    """

    answerable: bool | None = None
    entailed: tuple[int | str, ...] = ()
    valid: tuple[str, ...] = ()
    plausible: tuple[str, ...] = ()
    relevance: tuple[float, ...] = ()
    group: str | None = None
    rephrases: int | str | None = None


@dataclass(frozen=True)
class VQARecord:
    """One question about one picture.

    answers: as the annotators gave them (ten in VQA, one in DAQUAR, none where they are to be found).
    types: names of the groups that this question is scored in, such as ("colour",) or ("what color", "other").
    boxes: the objects of the picture.
    focus: the objects that the question singles out, where attention is expected; empty where it singles out none.
    facts: what else is known, one text each, the oldest first: captions of the picture, a knowledge base's sentences,
        earlier turns of a dialogue.
    choices: the answers offered to choose from; empty where the answer is free.
    scoring: what only the measures of its data set need.
    """

    image: Path
    image_id: int | str
    question: str
    question_id: int | str
    answers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    boxes: tuple[NamedBox, ...] = ()
    focus: tuple[NamedBox, ...] = ()
    facts: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    scoring: Scoring = Scoring()


@dataclass(frozen=True)
class Prediction:
    """What a model says of one example, with where it looked.

    score: of the text: probability of an answer, what the search ranks a caption by (log-probability, unless told).
    alternatives: the next best texts, best first, each with all that is known of it.
    token_log_probs: one for each token of the text and the end token last; empty for answers.
    choice_scores: where answers are on offer, of each one, in their order: the higher the better; else empty.
    maps: attention by name: "caption" (word x region); "image" (level x region) and "question" (level x word).
    """

    text: str
    score: float
    alternatives: tuple[Prediction, ...] = ()
    token_log_probs: tuple[float, ...] = ()
    maps: dict[str, AttentionMap] = field(default_factory=dict)
    choice_scores: tuple[float, ...] = ()
