import math
from collections import Counter

import pytest

from captioning.metrics import bleu
from captioning.metrics.bleu import bleu_of, bleu_statistics, length_ratio_of, unpenalised_bleu_of
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


def test_without_penalty_it_is_the_geometric_mean_of_clipped_precisions_however_short_the_captions() -> None:
    hypotheses = [["a", "dog", "runs", "on", "grass"], ["a", "dog", "a", "dog"], ["two", "cats", "sit"]]
    references = [
        [
            ["a", "brown", "dog", "runs", "on", "green", "grass", "today"],
            ["the", "dog", "runs", "on", "grass", "very", "fast"],
        ],
        [["a", "dog", "and", "a", "dog", "and", "a", "cat", "play"]],
        [["two", "cats", "sit", "on", "a", "mat"], ["there", "are", "two", "cats", "on", "one", "mat"]],
    ]
    statistics = bleu_statistics(hypotheses, references).sum(0, keepdims=True)
    assert unpenalised_bleu_of(statistics)[0].tolist() == pytest.approx(counted_by_hand(hypotheses, references))
    # 5, 4 and 3 words beside 7, 9 and 6
    assert length_ratio_of(statistics)[0] == pytest.approx(12 / 22)
    penalised = [math.exp(1 - 22 / 12) * score for score in counted_by_hand(hypotheses, references)]
    assert bleu(hypotheses, references) == pytest.approx(penalised)


def counted_by_hand(hypotheses: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """Papineni et al. 2002, equations of section 2.1 alone, word by word."""
    scores, product = [], 1.0
    for order in range(1, 5):
        matched = guessed = 0
        for hypothesis, several in zip(hypotheses, references, strict=True):
            found = ngrams(hypothesis, order)
            matched += sum(
                min(count, max(ngrams(each, order)[run] for each in several)) for run, count in found.items()
            )
            guessed += found.total()
        product *= matched / guessed
        scores.append(product ** (1 / order))
    return scores


def ngrams(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each run of so many words comes."""
    return Counter(tuple(words[begin : begin + order]) for begin in range(len(words) - order + 1))
