"""CIDEr-D (Vedantam et al. 2015) as the COCO caption evaluation computes it (coco-caption, cider_scorer.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from captioning.metrics.ngrams import (
    LONGEST,
    NGram,
    NGramCounts,
    NGramTable,
    Tokens,
    count_ngrams,
    of_all_images,
    places,
)

SIGMA = 6.0  # of the length penalty, in bigrams
AT_ONCE = 8192  # captions that are scored together, in some 50 MB


@dataclass(frozen=True)
class DocumentFrequencies:
    """In how many images' references each n-gram of the table occurs, and how many images there are."""

    table: NGramTable
    counts: Int[np.ndarray, " G"]
    images: int

    @classmethod
    def of(cls, references: Sequence[Sequence[Tokens]]) -> DocumentFrequencies:
        """Count over the references of each image; raises DataError where there is no image, or one without any."""
        return _References(references).frequencies()

    def of_ngram(self, ngram: NGram) -> int:
        """In how many images' references this one occurs."""
        number = self.table.find(count_ngrams([ngram]).table)[-1]
        return int(self.counts[number]) if number >= 0 else 0

    @cached_property
    def idf(self) -> Float[np.ndarray, " _"]:
        """log(images / count) of each n-gram, and last that of an unseen one, which counts as if one image had it."""
        return np.log(self.images) - np.log(np.append(self.counts, 1).clip(min=1))


class CiderD:
    """Scores captions against references that are counted once: training by reward scores millions of captions.

    frequencies: of a corpus other than the references themselves, such as the training set's. Without them a score
    depends on the set that is scored: those of different splits cannot be compared, and a single image scores 0.
    Raises DataError where there is no image, or one without references.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]], frequencies: DocumentFrequencies | None = None) -> None:
        self._references = _References(references)
        self._frequencies = frequencies or self._references.frequencies()
        known = self._frequencies.table.find(self._references.counts.table)
        self._weights, norms = tf_idf(self._references.counts, self._frequencies.idf[known])
        self._unit_weights = self._weights / norms

    def score(self, image: int, hypothesis: Tokens) -> float:
        """CIDEr-D in 0..10 of a caption for the image of this number: for many of them, `score_many` is far faster."""
        return float(self.score_many([image], [hypothesis])[0])

    def score_many(
        self, images: Sequence[int] | Int[np.ndarray, " B"], hypotheses: Sequence[Tokens]
    ) -> Float[np.ndarray, " B"]:
        """CIDEr-D in 0..10 of each caption for the image of the number beside it.

        10 times the mean, over orders and references, of the clipped cosine of the tf-idf vectors times a gaussian of
        the difference in length. Official quirks: term frequencies are plain counts and lengths are numbers of bigrams.
        """
        if len(images) != len(hypotheses):
            raise ValueError(f"{len(hypotheses)} captions of {len(images)} images: give an image for each")
        numbers = np.asarray(images, dtype=np.int64)
        parts = [slice(begin, begin + AT_ONCE) for begin in range(0, len(numbers), AT_ONCE)]
        return np.concatenate([np.empty(0), *(self._score(numbers[part], hypotheses[part]) for part in parts)])

    def _score(self, images: Int[np.ndarray, " B"], hypotheses: Sequence[Tokens]) -> Float[np.ndarray, " B"]:
        ours, theirs = count_ngrams(hypotheses), self._references
        known = self._frequencies.table.find(ours.table)
        there = known if theirs.counts.table is self._frequencies.table else theirs.counts.table.find(ours.table)
        weights, norms = tf_idf(ours, self._frequencies.idf[known])
        entry, posting = theirs.shared(images[ours.sentence], there[ours.ngram])
        products = np.minimum(weights[entry], self._weights[posting]) * self._unit_weights[posting] / norms[entry]
        caption, reference = ours.sentence[entry], theirs.counts.sentence[posting]
        gaps = _bigrams(ours.lengths)[caption] - _bigrams(theirs.counts.lengths)[reference]
        totals = np.bincount(caption, products * np.exp(-(gaps**2) / (2 * SIGMA**2)), len(hypotheses))
        return 10 * totals / (LONGEST * theirs.several[images])


class _References:
    """The n-grams of all images' references, and which references of an image have one."""

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        flat, self.several = of_all_images(references)
        self.counts = count_ngrams(flat)
        image = np.repeat(np.arange(len(references)), self.several)[self.counts.sentence]
        pairs = image * self._size + self.counts.ngram
        self._by_pair = pairs.argsort(kind="stable")
        self._pairs, begins = np.unique(pairs[self._by_pair], return_index=True)
        self._begins = np.append(begins, len(pairs))

    @property
    def _size(self) -> int:
        return max(1, self.counts.table.size)

    def frequencies(self) -> DocumentFrequencies:
        """Those of the references themselves."""
        table = self.counts.table
        return DocumentFrequencies(
            table, np.bincount(self._pairs % self._size, minlength=table.size), len(self.several)
        )

    def shared(
        self, images: Int[np.ndarray, " E"], ngrams: Int[np.ndarray, " E"]
    ) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
        """For each n-gram (-1: not here) and each reference of its image that has it: its place, and our entry's."""
        found = places(self._pairs, np.where(ngrams < 0, -1, images * self._size + ngrams))
        here = np.flatnonzero(found >= 0)
        begins = self._begins[found[here]]
        several = self._begins[found[here] + 1] - begins
        within = np.arange(several.sum()) - np.repeat(several.cumsum() - several, several)
        return np.repeat(here, several), self._by_pair[np.repeat(begins, several) + within]


def cider_d(
    hypotheses: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    frequencies: DocumentFrequencies | None = None,
) -> float:
    """The mean CIDEr-D over images, in 0..10 as the official script reports it (papers print it times 100)."""
    return float(CiderD(references, frequencies).score_many(range(len(references)), hypotheses).mean())


def tf_idf(
    counts: NGramCounts, idf: Float[np.ndarray, " G"]
) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, " E"]]:
    """The weight of each entry, and the norm of its sentence's vector of the same order; 1 for an empty vector."""
    weights = counts.count * idf[counts.ngram]
    vector = counts.sentence * LONGEST + counts.table.orders[counts.ngram]
    norms = np.sqrt(np.bincount(vector, weights**2))
    return weights, np.where(norms > 0, norms, 1)[vector]


def _bigrams(lengths: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    return (lengths - 1).clip(min=0)
