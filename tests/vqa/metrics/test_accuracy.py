from __future__ import annotations

import random

import pytest

from tests.vqa.metrics.reference import (
    WORDS_FOR_NUMBERS,
    official_accuracy,
    official_overall,
    punctuation_step,
    word_step,
)
from vqa.answers import _CONTRACTIONS
from vqa.metrics import Version, exact_match, vizwiz_accuracy, vqa_accuracy

CASES = 3000
MARKS = ";/[]\"{}()=+\\_-><@`,?!.:'$%&*#"
PIECES = [
    *_CONTRACTIONS,
    *_CONTRACTIONS.values(),
    *WORDS_FOR_NUMBERS,
    *("None", "TWO", "a", "an", "The", "red", "yes", "no", "Dog", "T-Shirt", "u.s.", "é", "ß", "İ", "Im", "Ive"),
    *("2", "10", "1,000", "1,000-2,000", "3.", ".5", "1.5", "5:30", "$5", "٣,٤"),
    *MARKS,
    "." * 40,
    "",
]
JOINTS = ["", " ", "  ", "\n", "\t", "-", ",", ".", " ,", ", ", "\u00a0"]
CHANGES = [str, str.upper, str.capitalize, "{} ".format, " {}".format, "the {}".format, "{}.".format, "{}-".format]


def drawn_text(draw: random.Random) -> str:
    """Pieces that the script's rules are about, put together in ways that people would not."""
    pieces = [draw.choice(PIECES) for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5)))]
    return "".join(piece + draw.choice(JOINTS) * (draw.random() < 0.7) for piece in pieces)


def drawn_case(draw: random.Random) -> tuple[str, list[str]]:
    """A prediction, and ten annotators' answers that often are the same but for what the rules take away."""
    pool = [drawn_text(draw) for _ in range(draw.choice((1, 1, 2, 3)))]
    pool += [draw.choice(CHANGES)(draw.choice(pool)) for _ in range(draw.choice((0, 0, 1, 3)))]
    answers = [draw.choice(pool) for _ in range(10)]
    normal = word_step(punctuation_step(draw.choice(answers)))
    return draw.choice((draw.choice(answers), draw.choice(CHANGES)(draw.choice(answers)), normal, "red")), answers


@pytest.mark.parametrize("version", ["2021", "2015"])
def test_accuracy_is_that_of_the_official_script_to_the_last_digit(version: Version) -> None:
    draw = random.Random(version)
    ours, official = [], []
    for _ in range(CASES):
        prediction, answers = drawn_case(draw)
        ours.append(vqa_accuracy(prediction, answers, version))
        official.append(official_accuracy(prediction, answers, version))
        assert ours[-1] == official[-1], (prediction, answers)
    assert official_overall(ours) == official_overall(official)
    assert 0.1 < sum(score > 0 for score in ours) / CASES < 0.9


@pytest.mark.parametrize(
    ("prediction", "answers", "now", "before"),
    [
        ("red", ["red"] * 2 + ["blue"] * 8, 0.6, 0.6),
        ("2", ["two"] * 9 + ["three"], 1, 0),  # annotators' numbers were not normalised before 2021
        ("2", ["two"] * 10, 0, 0),  # unanimous: to the letter
        ("t shirt", ["t-shirt"] * 10, 0, 0),
        ("t-shirt", ["t-shirt"] * 10, 1, 0),  # the prediction was always normalised before 2021
        ("Yes", ["yes"] * 10, 0, 1),
        ("the dog", ["dog"] * 3 + ["cat"] * 7, 0.9, 0.9),
        ("a", ["the"] * 4 + ["cat"] * 6, 1, 0),  # nothing is left of either
        ("", ["yes"] * 10, 0, 0),
        ("10002000", ["1,000-2,000"] * 4 + ["many"] * 6, 1, 1),  # a thousands comma deletes every other mark
        ("isn't", ["isnt"] * 4 + ["no"] * 6, 1, 0),
        ("5:30", ["5:30", "5:30 "] * 5, 1, 1),
    ],
)
def test_the_two_versions_by_hand(prediction: str, answers: list[str], now: float, before: float) -> None:
    assert vqa_accuracy(prediction, answers) == pytest.approx(now)
    assert vqa_accuracy(prediction, answers, "2015") == pytest.approx(before)


def test_scoring_twice_gives_the_same() -> None:
    """The script changes its annotations while it reads them: its second run gives this prediction 0."""
    assert [vqa_accuracy("Two", ["two"] * 9 + ["2"]) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("prediction", "answers", "score"),
    [
        ("The Dog!", ["dog"] * 3 + ["cat"] * 7, 0.9),
        ("two", ["2"] * 10, 1),
        ("2", ["two"] * 10, 0),  # the challenge's answers are taken as they are
        ("t shirt", ["t-shirt"] * 5 + ["shirt"] * 5, 0),
        ("unanswerable", ["unanswerable"] * 2 + ["grey"] * 8, 0.6),
    ],
)
def test_vizwiz_normalises_the_prediction_alone(prediction: str, answers: list[str], score: float) -> None:
    assert vizwiz_accuracy(prediction, answers) == pytest.approx(score)


def test_exact_matches_compare_lists_as_sets() -> None:
    assert exact_match("scissor, tape_dispenser", ["tape_dispenser,scissor"]) == 1
    assert exact_match("scissor", ["tape_dispenser, scissor"]) == 0
    assert exact_match("chair", ["chair", "table"]) == 0.5
