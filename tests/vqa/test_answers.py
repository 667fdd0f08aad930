import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DataError
from vqa.answers import (
    AnswerVocabulary,
    choice_scores,
    leave_one_out,
    most_common_answer,
    normalise_answer,
    soft_targets,
    vote_shares,
)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("  The Red\nball\t", "red ball"),
        ("none", "0"),
        ("Ten", "10"),
        ("t-shirt", "t shirt"),  # no space beside the mark: it becomes one
        ("t- shirt-less", "t shirtless"),  # a space beside one of them: all go
        ("black/white, red", "black white red"),
        ("1,000-2,000", "10002000"),  # a comma between digits: every mark goes
        ("u.s.", "us"),
        ("3.", "3"),
        ("3.5", "3.5"),
        (".5", ".5"),
        ("." * 40 + "a b", "." * 8 + "a b"),  # 32 periods at most
        ("5:30 $5 20% it's", "5:30 $5 20% it's"),
        ("dont", "don't"),
        ("Ive", "ive"),  # the official keys in capitals never fire
        ("couldntve couldn'tve couldnt've", "couldntve couldn't've couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("somebody'd", "somebodyd"),
        ("a", ""),
        ("café 沙滩", "café 沙滩"),
    ],
)
def test_answers_are_normalised_as_officially(raw: str, normal: str) -> None:
    assert normalise_answer(raw) == normal


def test_ten_annotators_give_the_official_table() -> None:
    assert [leave_one_out(matches, 10) for matches in range(6)] == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1])


@given(st.integers(1, 12), st.data())
def test_the_closed_form_is_the_mean_over_left_out_annotators(annotators: int, data: st.DataObject) -> None:
    matches = data.draw(st.integers(0, annotators))
    agrees = [True] * matches + [False] * (annotators - matches)
    scores = [min(1, sum(agrees[:left_out] + agrees[left_out + 1 :]) / 3) for left_out in range(annotators)]
    assert leave_one_out(matches, annotators) == pytest.approx(sum(scores) / annotators)


QUESTIONS = [["Yes"] * 6 + ["no"] * 4, ["yes", "yes", "No"], ["two"], ["2", "2", "3"], ["The red one"], ["a"], []]


def test_a_vocabulary_counts_the_most_common_normal_answer_of_each_question() -> None:
    vocabulary = AnswerVocabulary.build(QUESTIONS)
    assert vocabulary.answers == ("2", "yes", "red 1")  # by count, then alphabet; nothing is left of "a"
    assert AnswerVocabulary.build(QUESTIONS, minimum=2).answers == ("2", "yes")
    assert AnswerVocabulary.build(QUESTIONS, size=1).answers == ("2",)
    assert AnswerVocabulary.build([["tape_dispenser"], ["book, scissor"]], normalised=False).answers == (
        "book, scissor",
        "tape_dispenser",
    )


def test_a_vocabulary_is_rebuilt_from_what_a_checkpoint_keeps() -> None:
    vocabulary = AnswerVocabulary.build(QUESTIONS)
    assert AnswerVocabulary(list(vocabulary.answers), vocabulary.normalised) == vocabulary
    assert [vocabulary.index[vocabulary[number]] for number in range(len(vocabulary))] == [0, 1, 2]


def test_no_answer_left_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="none of 3 answers is given to 9 questions: lower the minimum count"):
        AnswerVocabulary.build(QUESTIONS, minimum=9)


def test_soft_targets_normalise_annotators_before_lookup() -> None:
    vocabulary = AnswerVocabulary(("2", "yes", "t shirt"))
    answers = ["two", "2", "Two", "T-shirt", *["three"] * 6]
    assert soft_targets(answers, vocabulary) == pytest.approx({0: 0.9, 2: 0.3})
    assert soft_targets(["three"] * 10, vocabulary) == {}


def test_few_annotators_give_their_shares() -> None:
    vocabulary = AnswerVocabulary(("tape_dispenser", "red"), normalised=False)
    assert soft_targets(["tape_dispenser"], vocabulary) == {0: 1.0}
    assert soft_targets(["red", "tape_dispenser"], vocabulary) == {1: 0.5, 0: 0.5}


def test_the_first_of_equally_common_answers_is_the_most_common() -> None:
    assert most_common_answer(["no", "The Yes", "yes", "No"]) == "no"
    assert most_common_answer(["A", "a", "a"], normalised=False) == "a"


def test_votes_are_shares_of_all_annotators_and_unknown_answers_are_left_out() -> None:
    vocabulary = AnswerVocabulary(("yes", "2"))
    assert vote_shares(["Yes", "two", "yes", "maybe"], vocabulary) == {0: 0.5, 1: 0.25}
    assert vote_shares([], vocabulary) == {}


def test_choices_are_scored_like_answers_however_they_are_written() -> None:
    assert choice_scores(["Red.", "blue", "red"], ["red"]) == [1, 0, 1]
    assert choice_scores(["Red.", "red"], ["red"], normalised=False) == [0, 1]
    assert choice_scores(["a", "b"], ["a"] * 2 + ["b"] * 8, normalised=False) == pytest.approx([0.6, 1])
    assert choice_scores(["red"], []) == [0]


def test_answers_that_differ_only_in_form_are_one_class_from_counting_to_scoring() -> None:
    questions = [["T-shirt"] * 10, ["t shirt"] * 10, ["2 "] * 10, ["two"] * 10, ["The Two."] * 10, ["a t-shirt\n"] * 10]
    vocabulary = AnswerVocabulary.build(questions, minimum=3)
    assert vocabulary.answers == ("2", "t shirt")
    for answers in questions:
        (target,) = soft_targets(answers, vocabulary).items()
        assert target == (vocabulary.index[normalise_answer(answers[0])], 1.0)
    assert soft_targets(["T-shirt", "t shirt ", "T shirt", "tshirt"] + ["2"] * 6, vocabulary) == pytest.approx(
        {1: 0.9, 0: 1}
    )
    apart = AnswerVocabulary.build(questions, normalised=False)
    assert set(apart.answers) == {"T-shirt", "t shirt", "2", "two", "The Two.", "a t-shirt"}


def test_a_vocabulary_knows_whether_it_has_any_of_the_annotators_answers() -> None:
    vocabulary = AnswerVocabulary(("2", "t shirt", "沙滩"))
    assert vocabulary.knows(["three", "Two"])
    assert vocabulary.knows(["沙滩"])
    assert not vocabulary.knows(["three"] * 10)
    assert not vocabulary.knows([""] * 10)
    assert not AnswerVocabulary(("two",), normalised=False).knows(["Two"])


def test_empty_answers_are_no_class_and_no_target() -> None:
    vocabulary = AnswerVocabulary.build([[""] * 10, ["", "a", "yes"], ["yes"]])
    assert vocabulary.answers == ("yes",)
    assert soft_targets([""] * 10, vocabulary) == {}
    with pytest.raises(DataError, match="none of 0 answers is given to 1 questions"):
        AnswerVocabulary.build([[""] * 10])
