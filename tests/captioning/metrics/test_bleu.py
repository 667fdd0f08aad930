import math

import pytest

from captioning.metrics import bleu


def test_matches_are_clipped_by_the_largest_count_in_one_reference() -> None:
    # the example of Papineni et al. 2002, section 2.1
    references = [["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]
    assert bleu([["the"] * 7], [references])[0] == pytest.approx(2 / 7)


def test_short_hypotheses_pay_against_the_nearest_reference_and_the_shorter_of_two_equally_near() -> None:
    hypothesis = ["a"] * 4
    assert bleu([hypothesis], [[["a"] * 5, ["a"] * 9]])[0] == pytest.approx(math.exp(1 - 5 / 4))
    assert bleu([hypothesis], [[["a"] * 5, ["a"] * 3]])[0] == pytest.approx(1)


def test_precisions_are_of_the_corpus_not_means_over_images() -> None:
    assert bleu([["a"] * 3, ["b"]], [[["a"] * 3], [["c"]]])[0] == pytest.approx(3 / 4)


def test_one_hypothesis_is_wanted_for_each_image() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        bleu([["a"]], [[["a"]], [["b"]]])
