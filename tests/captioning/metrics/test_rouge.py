import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.metrics import rouge_l
from captioning.metrics.rouge import longest_common_subsequence

words = st.lists(st.sampled_from("abcd"), max_size=70)  # beyond the 64 bits of a machine word


@given(words, words)
def test_common_subsequence_is_that_of_the_dynamic_programme(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert longest_common_subsequence(first, second) == table[-1][-1]


def test_best_precision_and_best_recall_may_be_of_different_references() -> None:
    # "a b": precision 1 with "a x b y", recall 1 with "a"
    assert rouge_l([["a", "b"]], [[["a", "x", "b", "y"], ["a"]]]) == pytest.approx(1)


def test_by_hand() -> None:
    precision, recall = 2 / 3, 2 / 4  # "a b c" against "a x c y" has "a c" in common
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l([list("abc")], [[list("axcy")]]) == pytest.approx(expected)
