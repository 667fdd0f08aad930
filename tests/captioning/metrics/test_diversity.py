import math

import numpy as np
import pytest

from captioning.metrics import DocumentFrequencies, diversity, lengths_and_repetition, self_cider
from captioning.metrics.ngrams import Tokens
from common.errors import DataError

DOG, CAT, BIRDS = (
    ["a", "dog", "runs", "over", "grass"],
    ["a", "cat", "sits", "on", "a", "mat"],
    ["two", "red", "birds", "fly", "away"],
)


def test_a_set_is_described_by_its_words_and_its_captions() -> None:
    report = diversity([DOG, CAT, DOG], training=[CAT, BIRDS])
    # 16 words, 9 different; 13 pairs, 9 different
    assert report == pytest.approx(
        {
            "distinct-1": 100 * 9 / 16,
            "distinct-2": 100 * 9 / 13,
            "words used": 9,
            "different captions": 200 / 3,
            "not in the training captions": 200 / 3,
        }
    )
    assert "not in the training captions" not in diversity([DOG])


def test_lengths_and_what_captions_repeat() -> None:
    report = lengths_and_repetition(
        [DOG, ["a", "dog", "and", "a", "dog", "and", "a", "dog"], []], finished=[True, False, True]
    )
    # pairs: 4 + 7, of which "a dog" comes twice more, "dog and" and "and a" once; triples: 3 + 6, three of them again
    assert report == pytest.approx(
        {
            "words, mean": 13 / 3,
            "words, least": 0,
            "words, most": 8,
            "repeated pairs": 400 / 11,
            "repeated triples": 300 / 9,
            "captions that repeat a triple": 100 / 3,
            "unfinished": 100 / 3,
        }
    )


def similarity(first: Tokens, second: Tokens, frequencies: DocumentFrequencies) -> float:
    """CIDEr of one caption against another, without a length penalty, in 0..1."""
    total = 0.0
    for order in range(1, 5):
        vectors = []
        for tokens in (first, second):
            grams = [tuple(tokens[begin : begin + order]) for begin in range(len(tokens) - order + 1)]
            idf = {gram: math.log(frequencies.images / max(1, frequencies.of_ngram(gram))) for gram in grams}
            vectors.append({gram: grams.count(gram) * weight for gram, weight in idf.items()})
        norm = math.prod(math.hypot(*vector.values()) for vector in vectors)
        total += sum(vectors[0][gram] * vectors[1].get(gram, 0) for gram in vectors[0]) / norm if norm else 0
    return total / 4


def test_self_cider_is_the_spread_of_the_eigenvalues_of_the_similarities() -> None:
    frequencies = DocumentFrequencies.of([[DOG], [CAT], [BIRDS]])
    groups = [[DOG, CAT, ["a", "dog", "sits", "on", "a", "mat"]], [BIRDS, BIRDS[:4]], [DOG, []]]
    expected = []
    for captions in groups:
        matrix = np.array([[similarity(one, two, frequencies) for two in captions] for one in captions])
        roots = np.sqrt(np.linalg.eigvalsh(matrix).clip(min=0))
        expected.append(-math.log(roots.max() / roots.sum(), len(captions)))
    assert self_cider(groups, frequencies) == pytest.approx(expected, abs=1e-7)


def test_equal_captions_have_no_diversity_and_different_ones_have_all() -> None:
    frequencies = DocumentFrequencies.of([[DOG], [CAT], [BIRDS]])
    assert self_cider([[DOG, DOG, DOG], [DOG, BIRDS], [[], []]], frequencies) == pytest.approx([0, 1, 0], abs=1e-6)


def test_nothing_cannot_be_described_and_one_caption_cannot_vary() -> None:
    for report in (diversity, lengths_and_repetition):
        with pytest.raises(DataError, match="no captions to describe"):
            report([])
    with pytest.raises(DataError, match="image number 1 has fewer than two captions"):
        self_cider([[DOG, CAT], [DOG]], DocumentFrequencies.of([[DOG]]))
