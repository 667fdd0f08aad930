"""What VizWiz, GQA, Visual Dialog and VQA-Rephrasings score besides accuracy, against loops and by hand."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import pytest
import torch

from common.attention import Boxes, Grid
from common.data.records import NamedBox, Scoring, VQARecord
from common.errors import DataError
from vqa.metrics import (
    answerability,
    consensus,
    distribution,
    gqa_scores,
    grounding_share,
    ndcg,
    score_ranking,
)


def question(question_id: int, answer: str, **scoring: object) -> VQARecord:
    return VQARecord(Path("x.png"), 1, "what?", question_id, (answer,), scoring=Scoring(**scoring))  # type: ignore[arg-type]


def average_precision_by_loops(scores: list[float], positive: list[bool]) -> float:
    """Precision times the recall gained, from the highest threshold to the lowest."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        found = [right for score, right in zip(scores, positive, strict=True) if score >= threshold]
        now = sum(found) / sum(positive)
        total += (now - recall) * sum(found) / len(found)
        recall = now
    return total


def test_answerability_is_scored_by_the_questions_that_cannot_be_answered() -> None:
    draw = random.Random(0)
    likely = [round(draw.random(), 1) for _ in range(60)]
    can = [draw.random() < 0.3 + 0.6 * p for p in likely]
    found = answerability(likely, can)
    cannot = [not each for each in can]
    assert found["unanswerable/average precision"] == pytest.approx(
        100 * average_precision_by_loops([1 - p for p in likely], cannot)
    )
    told = [1 - p > 0.5 for p in likely]
    both = sum(a and b for a, b in zip(told, cannot, strict=True))
    precision, recall = both / sum(told), both / sum(cannot)
    assert found["unanswerable/F1"] == pytest.approx(100 * 2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(
    ("likely", "can", "message"),
    [
        ([0.5], [True, False], "1 predictions for 2 questions"),
        ([0.5, float("nan")], [True, False], "must be in 0..1 for each question"),
        ([0.5, 0.1], [True, True], "every question can be answered"),
        ([], [], "every question can be answered"),
    ],
)
def test_answerability_of_nothing_is_told(likely: list[float], can: list[bool], message: str) -> None:
    with pytest.raises(DataError, match=message):
        answerability(likely, can)


def test_gqa_asks_for_consistent_valid_and_plausible_answers() -> None:
    records = [
        question(1, "red", entailed=(1, 2, 3), valid=("red", "blue"), plausible=("red",)),
        question(2, "yes", entailed=(1,), valid=("yes", "no"), plausible=("yes", "no")),
        question(3, "no", valid=("yes", "no")),
        question(4, "cat", entailed=(1,)),  # not answered right: what it entails does not matter
        question(5, "dog", entailed=(99,)),  # 99 was not asked
    ]
    answers = {1: "red", 2: "yes", 3: "red", 4: "dog", 5: "dog"}
    assert gqa_scores(answers, records) == pytest.approx(
        {"consistency": 100 * (0.5 + 1) / 2, "validity": 200 / 3, "plausibility": 100}
    )
    assert gqa_scores({1: "x"}, [question(1, "red")]) == {}


def test_gqa_compares_the_distribution_of_answers_by_groups() -> None:
    true = ["red"] * 6 + ["blue"] * 2 + ["yes"] * 4
    records = [
        question(number, answer, group="colour" if number < 8 else "is it") for number, answer in enumerate(true)
    ]
    answers = dict(enumerate(["red"] * 4 + ["blue"] * 3 + ["green"] + ["yes"] * 4))
    colour = (4 - 6) ** 2 / 6 + (3 - 2) ** 2 / 2
    assert distribution(answers, records) == pytest.approx(colour * 8 / 12 / 100)
    assert distribution({each.question_id: each.answers[0] for each in records}, records) == 0
    assert distribution({1: "x"}, [question(1, "red")]) == 0


def test_gqa_s_grounding_counts_regions_by_what_lies_in_the_objects() -> None:
    grid = Grid(2, 2, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    right = NamedBox((0.5, 0.0, 1.0, 1.0), "tree")
    assert grounding_share(weights, grid, [right]) == pytest.approx(0.6)
    assert grounding_share(weights, grid, [right, NamedBox((0.25, 0.0, 0.5, 0.5), "bird")]) == pytest.approx(0.65)
    assert grounding_share(weights, grid, []) == 0
    boxes = Boxes(torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.4, 0.0, 0.8, 1.0]]))
    assert grounding_share(torch.tensor([0.3, 0.7]), boxes, [right]) == pytest.approx(0.7 * 0.75)


def ranks_by_loops(scores: list[float]) -> list[int]:
    return [1 + sum(o > s or (o == s and j < i) for j, o in enumerate(scores)) for i, s in enumerate(scores)]


def test_ranked_options_are_scored_as_by_loops() -> None:
    draw = random.Random(2)
    scores = [[round(draw.random(), 1) for _ in range(20)] for _ in range(30)]
    truth = [draw.randrange(20) for _ in scores]
    relevance = [[draw.choice((0.0, 0.0, 0.2, 0.8, 1.0)) for _ in range(19)] + [0.4] for _ in scores]
    rank = [ranks_by_loops(row)[true] for row, true in zip(scores, truth, strict=True)]
    found = score_ranking(scores, truth)
    for most in (1, 5, 10):
        assert found[f"R@{most}"] == pytest.approx(100 * sum(each <= most for each in rank) / 30)
    assert found["MRR"] == pytest.approx(100 * sum(1 / each for each in rank) / 30)
    assert found["mean rank"] == pytest.approx(sum(rank) / 30)
    assert "R@10" not in score_ranking([[0.1] * 10], [0])  # of ten options, ten are all
    gains = []
    for row, relevant in zip(scores, relevance, strict=True):
        depth = sum(each > 0 for each in relevant)
        order = [option for _, option in sorted(zip(ranks_by_loops(row), range(20), strict=True))]
        gain = sum(relevant[option] / math.log2(2 + place) for place, option in enumerate(order[:depth]))
        ideal = sum(each / math.log2(2 + place) for place, each in enumerate(sorted(relevant, reverse=True)[:depth]))
        gains.append(gain / ideal)
    assert ndcg(scores, relevance) == pytest.approx(100 * sum(gains) / 30)


def test_the_best_ranking_has_an_ndcg_of_100() -> None:
    relevance = [[0.0, 0.5, 1.0, 0.0], [0.2, 0.0, 0.0, 0.0]]
    assert ndcg(relevance, relevance) == pytest.approx(100)


@pytest.mark.parametrize(
    ("scores", "truth", "relevance", "message"),
    [
        ([[0.1, float("nan")]], [0], [[1.0, 0.0]], "scores must be numbers"),
        ([], [], [], "at least one question with one option"),
        ([[0.1, 0.2]], [2], None, "the true options must be 1 numbers below 2"),
        ([[0.1, 0.2]], None, [[1.0]], r"scores \[1, 2\] and relevance \[1, 1\] must be of one shape"),
        ([[0.1, 0.2]], None, [[0.0, 0.0]], "question 1 has no relevant option: leave it out"),
    ],
)
def test_options_that_cannot_be_ranked_are_told(
    scores: list[list[float]], truth: list[int] | None, relevance: list[list[float]] | None, message: str
) -> None:
    if truth is not None:
        with pytest.raises(DataError, match=message):
            score_ranking(scores, truth)
    if relevance is not None:
        with pytest.raises(DataError, match=message):
            ndcg(scores, relevance)


def consensus_by_subsets(groups: list[list[float]], k: int) -> float:
    """Shah et al. 2019, equation 4: over all sets of k rephrasings, whether all are answered with some accuracy."""
    shares = []
    for scores in groups:
        subsets = list(itertools.combinations(scores, k))
        if subsets:
            shares.append(sum(all(score > 0 for score in subset) for subset in subsets) / len(subsets))
    return sum(shares) / len(shares)


def test_consensus_counts_sets_of_rephrasings_that_are_all_answered_right() -> None:
    draw = random.Random(3)
    groups = [[draw.choice((0.0, 0.3, 1.0)) for _ in range(draw.choice((3, 4)))] for _ in range(20)]
    found = consensus(dict(enumerate(groups)))
    assert list(found) == ["CS(1)", "CS(2)", "CS(3)", "CS(4)"]
    for k in range(1, 5):
        assert found[f"CS({k})"] == pytest.approx(100 * consensus_by_subsets(groups, k))
    assert list(consensus({"a": [1, 0]})) == ["CS(1)", "CS(2)"]


def test_groups_that_cannot_be_compared_are_told() -> None:
    with pytest.raises(DataError, match="no groups of rephrasings"):
        consensus({})
    with pytest.raises(DataError, match="2 groups have a single question, without a rephrasing, such as 'a', 'c'"):
        consensus({"c": [1], "a": [0], "b": [1, 1]})
