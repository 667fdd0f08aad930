import math

import pytest

from captioning.metrics import bleu
from captioning.metrics.bleu import bleu_of, bleu_statistics
from common.errors import DataError


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


def test_statistics_of_images_add_up_to_the_corpus() -> None:
    hypotheses = [["a", "dog", "a", "dog"], [], ["two", "cats"]]
    references = [[["a", "dog"], ["a", "big", "dog", "a"]], [["x"]], [["two", "cats", "sit", "there"], ["two"]]]
    statistics = bleu_statistics(hypotheses, references)
    # 3 of 4 words and the pairs "a dog" and "dog a" once each; the references of 4, 1 and 1 words are nearest
    assert statistics.tolist() == [
        [3, 2, 0, 0, 4, 3, 2, 1, 4, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [2, 1, 0, 0, 2, 1, 0, 0, 2, 1],
    ]
    assert bleu_of(statistics.sum(0, keepdims=True))[0] == pytest.approx(bleu(hypotheses, references))
    assert bleu_of(statistics)[2, 1] == pytest.approx(bleu(hypotheses[2:], references[2:])[1])


def test_one_hypothesis_is_wanted_for_each_image() -> None:
    with pytest.raises(DataError, match="1 captions for 2 images"):
        bleu([["a"]], [[["a"]], [["b"]]])


def test_references_are_wanted_for_each_image() -> None:
    with pytest.raises(DataError, match="image number 1 has no reference"):
        bleu([["a"], ["b"]], [[["a"]], []])
    with pytest.raises(DataError, match="no images"):
        bleu([], [])
