from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from common.data.records import VQARecord
from common.errors import DataError
from vqa.insight import OTHERS, UNTYPED, NearestQuestions, confusions, prior_gaps, surest_mistakes


def record(question_id: int, question: str, *answers: str, types: tuple[str, ...] = ()) -> VQARecord:
    return VQARecord(Path("x.png"), 1, question, question_id, answers, types)


def test_confusions_are_counted_by_the_type_of_the_answer() -> None:
    records = [
        record(1, "what?", "red", types=("what is", "other")),
        record(2, "what?", "Red.", "red", "blue", types=("what", "other")),
        record(3, "what?", "blue", types=("what", "other")),
        record(4, "is it?", "yes", types=("is it", "yes/no")),
    ]
    other, polar = confusions({1: "the red", 2: "blue", 3: "green", 4: "yes"}, records, most=1)
    assert (other.kind, other.answers, other.right) == ("other", ("red", OTHERS), 1)
    assert other.counts.tolist() == [[1, 1], [0, 1]]  # "green" for "blue" is among the others, but not right
    assert (polar.kind, polar.answers, polar.counts.tolist(), polar.right) == ("yes/no", ("yes",), [[1]], 1)
    assert confusions({5: "a"}, [record(5, "what?", "b")])[0].kind == UNTYPED


def test_the_gap_is_what_a_model_that_sees_the_question_alone_lacks() -> None:
    gaps = prior_gaps(
        {"accuracy": 60.0, "accuracy/number": 40.0, "pointing": 9.0}, {"accuracy": 45.0, "accuracy/number": 42.0}
    )
    assert [(each.kind, each.gap) for each in gaps] == [("accuracy", 15.0), ("accuracy/number", -2.0)]
    with pytest.raises(DataError, match="no score in common"):
        prior_gaps({"accuracy": 1.0}, {"WUPS@0.9": 1.0})


def test_the_surest_mistakes_come_first_and_each_question_once() -> None:
    records = [
        record(n, text, "red") for n, text in enumerate(("what colour?", "What colour?", "which one?", "where?"))
    ]
    sure = {0: 0.5, 1: 0.9, 2: 0.7, 3: 0.99}
    found = surest_mistakes(dict.fromkeys(range(4), "blue"), sure, [0, 0, 0, 0.3], records)
    assert [(each.record.question_id, each.confidence, each.truth) for each in found] == [
        (1, 0.9, "red"),
        (2, 0.7, "red"),
    ]


QUESTIONS = [
    "what colour is the star?",
    "what colour is the ring?",
    "how many stars are there?",
    "is there a red star?",
]


def cosine_by_loops(one: str, other: str, all_words: list[list[str]]) -> float:
    def vector(words: list[str]) -> dict[str, float]:
        return {
            word: count * (math.log((1 + len(all_words)) / (1 + sum(word in each for each in all_words))) + 1)
            for word, count in Counter(words).items()
            if any(word in each for each in all_words)
        }

    a, b = vector(one.rstrip("?").split()), vector(other.rstrip("?").split())
    lengths = math.sqrt(sum(v * v for v in a.values())) * math.sqrt(sum(v * v for v in b.values()))
    return sum(value * b.get(word, 0.0) for word, value in a.items()) / lengths


def test_the_nearest_questions_are_those_with_the_highest_cosine() -> None:
    nearest = NearestQuestions([record(n, text, "red") for n, text in enumerate(QUESTIONS)])
    asked = "what colour is the big red star?"
    all_words = [text.rstrip("?").split() for text in QUESTIONS]
    expected = sorted(((cosine_by_loops(asked, text, all_words), text) for text in QUESTIONS), reverse=True)
    found = nearest.find(asked, most=3)
    assert [each.question for each in found] == [text for _, text in expected[:3]]
    assert [each.likeness for each in found] == pytest.approx([likeness for likeness, _ in expected[:3]])


def test_questions_of_the_same_words_are_one_with_the_answers_of_all() -> None:
    texts = ("what colour?", "what  colour ?", "What colour?", "how many?")
    nearest = NearestQuestions(
        [
            record(n, text, answer)
            for n, (text, answer) in enumerate(zip(texts, ("red", "blue", "red", "3"), strict=True))
        ]
    )
    (only,) = nearest.find("what colour?")
    assert (only.likeness, only.answers, only.asked) == (pytest.approx(1), (("red", 2), ("blue", 1)), 3)
    assert nearest.find("unheard of") == []
    with pytest.raises(DataError, match="no training questions"):
        NearestQuestions([])
