"""CIDEr-D (Vedantam et al. 2015) as the COCO caption evaluation computes it (coco-caption, cider_scorer.py)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from captioning.metrics.ngrams import LONGEST, NGram, Tokens, count_ngrams

SIGMA = 6.0  # of the length penalty, in bigrams


@dataclass(frozen=True)
class DocumentFrequencies:
    """In how many images' references each n-gram occurs, and how many images there are."""

    counts: Mapping[NGram, int]
    images: int

    @classmethod
    def of(cls, references: Sequence[Sequence[Tokens]]) -> DocumentFrequencies:
        """Count over the references of each image."""
        counts: Counter[NGram] = Counter()
        for image_references in references:
            counts.update(set().union(*map(count_ngrams, image_references)))
        return cls(counts, len(references))


@dataclass(frozen=True)
class _References:
    """The references of one image: for each n-gram, the references that have it, with its weight there."""

    postings: Mapping[NGram, Sequence[tuple[int, float]]]
    norms: Sequence[Sequence[float]]  # by reference and order
    lengths: Sequence[int]  # in bigrams


class CiderD:
    """Scores captions against references that are counted once: training by reward scores millions of captions.

    frequencies: of a corpus other than the references themselves, such as the training set's. Without them a score
    depends on the set that is scored: those of different splits cannot be compared, and a single image scores 0.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]], frequencies: DocumentFrequencies | None = None) -> None:
        frequencies = frequencies or DocumentFrequencies.of(references)
        self._idf_unseen = math.log(frequencies.images)
        self._idf = {ngram: self._idf_unseen - math.log(count) for ngram, count in frequencies.counts.items()}
        self._images = [self._index(image_references) for image_references in references]

    def score(self, image: int, hypothesis: Tokens) -> float:
        """CIDEr-D in 0..10 of a caption for the image of this number.

        10 times the mean, over orders and references, of the clipped cosine of the tf-idf vectors times a gaussian of
        the difference in length. Official quirks: term frequencies are plain counts and lengths are numbers of bigrams.
        """
        references = self._images[image]
        vector = self._tf_idf(hypothesis)
        products = [[0.0] * LONGEST for _ in references.lengths]
        for ngram, weight in vector.items():
            for reference, reference_weight in references.postings.get(ngram, ()):
                products[reference][len(ngram) - 1] += min(weight, reference_weight) * reference_weight
        norms, length = _norms(vector), _bigrams(hypothesis)
        total = 0.0
        for product, reference_norms, reference_length in zip(
            products, references.norms, references.lengths, strict=True
        ):
            cosines = sum(p / (a * b) for p, a, b in zip(product, norms, reference_norms, strict=True) if a and b)
            total += cosines * math.exp(-((length - reference_length) ** 2) / (2 * SIGMA**2))
        return 10 * total / (LONGEST * len(references.lengths))

    def _tf_idf(self, tokens: Tokens) -> dict[NGram, float]:
        idf, unseen = self._idf, self._idf_unseen
        return {ngram: count * idf.get(ngram, unseen) for ngram, count in count_ngrams(tokens).items()}

    def _index(self, references: Sequence[Tokens]) -> _References:
        vectors = [self._tf_idf(reference) for reference in references]
        postings: dict[NGram, list[tuple[int, float]]] = {}
        for number, vector in enumerate(vectors):
            for ngram, weight in vector.items():
                postings.setdefault(ngram, []).append((number, weight))
        return _References(
            postings, [_norms(vector) for vector in vectors], [_bigrams(tokens) for tokens in references]
        )


def cider_d(
    hypotheses: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    frequencies: DocumentFrequencies | None = None,
) -> float:
    """The mean CIDEr-D over images, in 0..10 as the official script reports it (papers print it times 100)."""
    scorer = CiderD(references, frequencies)
    pairs = zip(range(len(references)), hypotheses, strict=True)
    return fmean(scorer.score(image, hypothesis) for image, hypothesis in pairs)


def _norms(vector: Mapping[NGram, float]) -> list[float]:
    squares = [0.0] * LONGEST
    for ngram, weight in vector.items():
        squares[len(ngram) - 1] += weight * weight
    return [math.sqrt(square) for square in squares]


def _bigrams(tokens: Tokens) -> int:
    return max(0, len(tokens) - 1)
