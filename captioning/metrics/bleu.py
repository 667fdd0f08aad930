"""Corpus BLEU (Papineni et al. 2002) as the COCO caption evaluation computes it (coco-caption, bleu_scorer.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from captioning.metrics.ngrams import LONGEST, Tokens, count_ngrams, of_all_images, places

# The official constants: nothing matched gives almost 0 instead of log 0, and nothing guessed gives 0 instead of 0 / 0.
TINY = 1e-15
SMALL = 1e-9


def bleu(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, ...]:
    """BLEU-1, -2, -3 and -4 in 0..1 of a whole corpus: one hypothesis and one or more references for each image.

    Raises DataError where there is no image, or one without references.
    """
    return tuple(bleu_of(bleu_statistics(hypotheses, references).sum(0, keepdims=True))[0].tolist())


def bleu_statistics(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> Int[np.ndarray, "N 10"]:
    """What BLEU adds up over images: n-grams matched and guessed of each order, words, and words of the reference.

    Matches are clipped by the largest count in any one reference; the length that a hypothesis is held against is that
    of the reference nearest to it in length, the shorter one of two equally near ("closest").
    """
    flat, several = of_all_images(references, len(hypotheses))
    images = len(hypotheses)
    counts = count_ngrams([*hypotheses, *flat])
    image = np.concatenate([np.arange(images), np.repeat(np.arange(images), several)])
    pairs = image[counts.sentence] * max(1, counts.table.size) + counts.ngram
    split = int(np.searchsorted(counts.sentence, images))  # before it are the hypotheses' entries

    theirs = pairs[split:].argsort()
    known, begins = np.unique(pairs[split:][theirs], return_index=True)
    most = np.append(np.maximum.reduceat(counts.count[split:][theirs], begins) if len(begins) else begins, 0)
    clipped = np.minimum(
        counts.count[:split], most[places(known, pairs[:split])]
    )  # 0, the last one, for what is not there
    order = counts.sentence[:split] * LONGEST + counts.table.orders[counts.ngram[:split]]
    matched = np.bincount(order, clipped, images * LONGEST).astype(np.int64).reshape(images, LONGEST)

    length = counts.lengths[:images, None]
    guessed = (length - np.arange(LONGEST)).clip(min=0)
    return np.concatenate([matched, guessed, length, _closest(counts.lengths, images, several)], axis=1)


def bleu_of(sums: Float[np.ndarray, "S 10"] | Int[np.ndarray, "S 10"]) -> Float[np.ndarray, "S 4"]:
    """BLEU-1 to -4 of sums of statistics."""
    penalty = np.exp(np.minimum(0, 1 - 1 / length_ratio_of(sums)))
    return unpenalised_bleu_of(sums) * penalty[:, None]


def unpenalised_bleu_of(sums: Float[np.ndarray, "S 10"] | Int[np.ndarray, "S 10"]) -> Float[np.ndarray, "S 4"]:
    """The same without brevity penalty: the geometric mean of the clipped precisions of n-grams up to each order.

    This is the BLEU of Xu et al. 2015 and of others before coco-caption.
    """
    matched, guessed = sums[:, :LONGEST], sums[:, LONGEST : 2 * LONGEST]
    precisions = np.cumprod((matched + TINY) / (guessed + SMALL), axis=1)
    return precisions ** (1 / np.arange(1, LONGEST + 1))


def length_ratio_of(sums: Float[np.ndarray, "S 10"] | Int[np.ndarray, "S 10"]) -> Float[np.ndarray, " S"]:
    """The words guessed over those of the references nearest in length: below 1, BLEU has a brevity penalty."""
    words, reference = sums[:, 2 * LONGEST :].T
    return (words + TINY) / (reference + SMALL)


def _closest(
    lengths: Int[np.ndarray, " sentences"], images: int, several: Int[np.ndarray, " N"]
) -> Int[np.ndarray, "N 1"]:
    """The length of each image's reference that is nearest in length to the hypothesis."""
    reference, base = lengths[images:], int(lengths.max()) + 1
    gaps = np.abs(reference - np.repeat(lengths[:images], several))
    begins = several.cumsum() - several
    return (np.minimum.reduceat(gaps * base + reference, begins) % base)[:, None]
