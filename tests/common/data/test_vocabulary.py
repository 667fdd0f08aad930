import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.vocabulary import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary
from common.errors import DataError

CORPUS = [["a", "dog", "and", "a", "cat"], ["a", "cat"], ["dog", "end"]]


def test_frequent_words_come_first_and_ties_in_the_order_of_the_alphabet() -> None:
    assert Vocabulary.build(CORPUS).words == (*SPECIALS, "a", "cat", "dog", "and", "end")


def test_rare_words_are_left_out() -> None:
    assert Vocabulary.build(CORPUS, minimum_count=2).words == (*SPECIALS, "a", "cat", "dog")


def test_unknown_words_get_the_id_of_the_unknown_word() -> None:
    vocabulary = Vocabulary.build(CORPUS, minimum_count=2)
    assert vocabulary.encode(["a", "zebra", "dog"]) == [4, UNKNOWN, 6]
    assert "zebra" not in vocabulary
    assert "dog" in vocabulary
    assert len(vocabulary) == 7


def test_decoding_stops_at_the_end_and_shows_unknown_words() -> None:
    vocabulary = Vocabulary.build(CORPUS)
    assert vocabulary.decode([START, 4, UNKNOWN, PAD, 5, END, 6, 7]) == ["a", "<unk>", "cat"]


def test_a_word_spelled_like_a_special_is_unknown() -> None:
    vocabulary = Vocabulary.build([["<end>", "a", "<pad>"]])
    assert vocabulary.words == (*SPECIALS, "a")
    assert vocabulary.encode(["<end>", "a", "<pad>"]) == [UNKNOWN, 4, UNKNOWN]


@given(st.lists(st.lists(st.text(min_size=1)), min_size=1))
def test_a_plain_list_of_words_is_the_whole_vocabulary(corpus: list[list[str]]) -> None:
    vocabulary = Vocabulary.build([["a"], *corpus])
    again = Vocabulary(list(vocabulary.words))
    assert again == vocabulary
    for tokens in corpus:
        ordinary = [token for token in tokens if token not in SPECIALS]
        assert again.decode(again.encode(ordinary)) == ordinary


@pytest.mark.parametrize("corpus", [[], [[]], [["a", "b"]]])
def test_a_corpus_that_leaves_no_words_is_refused(corpus: list[list[str]]) -> None:
    with pytest.raises(DataError, match="no word is left"):
        Vocabulary.build(corpus, minimum_count=2)


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(DataError, match="'a'"):
        Vocabulary([*SPECIALS, "a", "b", "a"])


def test_a_list_without_the_specials_is_refused() -> None:
    with pytest.raises(DataError, match="starts with"):
        Vocabulary(["a", "dog"])
