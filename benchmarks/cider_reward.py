"""CIDEr-D as the reward of self-critical training: references counted once against each time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.captions import draw_captions
from benchmarks.timing import arguments, print_table
from captioning.metrics import CiderD
from captioning.metrics.cider import SIGMA
from captioning.metrics.ngrams import LONGEST, NGram, Tokens
from common.errors import SaccadeError

TOLERANCE = 1e-10


class PlainCiderD:
    """The formula where it stands, and only the document frequencies counted in advance, as in the official scripts."""

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        self.references = references
        self.frequencies: Counter[NGram] = Counter()
        for image_references in references:
            self.frequencies.update({ngram for reference in image_references for ngram in _count(reference)})

    def score(self, image: int, hypothesis: Tokens) -> float:
        """CIDEr-D of one caption for one image, in 0..10."""
        vectors = self._vectors(hypothesis)
        total = 0.0
        for reference in self.references[image]:
            gap = max(0, len(hypothesis) - 1) - max(0, len(reference) - 1)
            similarity = sum(map(_clipped_cosine, vectors, self._vectors(reference)))
            total += similarity / LONGEST * math.exp(-(gap**2) / (2 * SIGMA**2))
        return 10 * total / len(self.references[image])

    def _vectors(self, tokens: Tokens) -> list[dict[NGram, float]]:
        """A vector of tf-idf for each order."""
        vectors: list[dict[NGram, float]] = [{} for _ in range(LONGEST)]
        for ngram, count in _count(tokens).items():
            idf = math.log(len(self.references)) - math.log(max(1, self.frequencies[ngram]))
            vectors[len(ngram) - 1][ngram] = count * idf
        return vectors


def main(args: list[str] | None = None) -> None:
    """Compare the rewards, then print the table."""
    sizes = arguments(
        "CIDEr-D of captions, five for each picture.", pictures=64, corpus=5000, words=12, vocabulary=9000
    )
    sizes.set_defaults(threads=[1])
    options = sizes.parse_args(args)
    captions = draw_captions(options.corpus, 6, options.words, options.vocabulary)
    references = [each[1:] for each in captions]
    generator = np.random.default_rng(0)
    images = np.repeat(generator.integers(options.corpus, size=options.pictures), 5)
    others = np.where(generator.random(len(images)) < 0.5, images, generator.integers(options.corpus, size=len(images)))
    hypotheses = [captions[other][0] for other in others]
    plain, ours = PlainCiderD(references), CiderD(references)

    def one_by_one() -> np.ndarray:
        return np.array([plain.score(int(image), caption) for image, caption in zip(images, hypotheses, strict=True)])

    def all_at_once() -> np.ndarray:
        return ours.score_many(images, hypotheses)

    if (worst := np.abs(one_by_one() - all_at_once()).max()) > TOLERANCE:
        raise SaccadeError(f"the rewards differ, by up to {worst}")
    title = f"CIDEr-D of {len(images)} captions against 5 of some {options.words} words, {options.corpus} images"
    print_table(
        title, "captions", len(images), options, None, {"formula as it stands": one_by_one, "Saccade": all_at_once}
    )


def _clipped_cosine(hypothesis: Mapping[NGram, float], reference: Mapping[NGram, float]) -> float:
    norms = math.hypot(*hypothesis.values()) * math.hypot(*reference.values())
    product = sum(
        min(weight, reference.get(ngram, 0)) * reference.get(ngram, 0) for ngram, weight in hypothesis.items()
    )
    return product / norms if norms else 0.0


def _count(tokens: Tokens) -> Counter[NGram]:
    return Counter(
        tuple(tokens[begin : begin + order])
        for order in range(1, LONGEST + 1)
        for begin in range(len(tokens) - order + 1)
    )


if __name__ == "__main__":
    main()
