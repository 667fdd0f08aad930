"""What scores against references do not tell of captions: how varied, how long, how repetitive they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Float

from captioning.metrics.cider import DocumentFrequencies, tf_idf
from captioning.metrics.ngrams import LONGEST, Tokens, count_ngrams
from common.errors import DataError


def diversity(captions: Sequence[Tokens], training: Collection[Tokens] | None = None) -> dict[str, float]:
    """How varied the captions of a set are, by name; in percent but for the number of words.

    distinct-1 and -2: different words and pairs among all (Li et al. 2016); it falls as a set grows, so compare equal
    sets. words used: how many different ones. different captions: the share that is left when equal ones count once.
    not in the training captions: the share of those that a model did not learn by heart, where `training` is given.
    Raises DataError where there is no caption.
    """
    if not captions:
        raise DataError("no captions to describe: give at least one")
    counts = count_ngrams(captions)
    used = np.bincount(counts.table.orders[counts.ngram], counts.count, LONGEST)
    report = {
        f"distinct-{order + 1}": 100 * counts.table.sizes[order] / max(1.0, float(used[order])) for order in range(2)
    }
    report["words used"] = float(counts.table.sizes[0])
    report["different captions"] = 100 * len(set(map(tuple, captions))) / len(captions)
    if training is not None:
        known = set(map(tuple, training))
        new = sum(tuple(caption) not in known for caption in captions)
        report["not in the training captions"] = 100 * new / len(captions)
    return report


def lengths_and_repetition(captions: Sequence[Tokens], finished: Sequence[bool] | None = None) -> dict[str, float]:
    """How long the captions are, in words, and how they repeat themselves, in percent, by name.

    repeated n-grams: of all of a caption's pairs or triples, those that it has had before ("a dog and a dog").
    finished: whether each caption came to its end before the longest length allowed, where that is known.
    Raises DataError where there is no caption.
    """
    if not captions:
        raise DataError("no captions to describe: give at least one")
    counts = count_ngrams(captions)
    lengths = counts.lengths
    report = {
        "words, mean": float(lengths.mean()),
        "words, least": float(lengths.min()),
        "words, most": float(lengths.max()),
    }
    order = counts.table.orders[counts.ngram]
    for number, name in ((1, "repeated pairs"), (2, "repeated triples")):
        entries = counts.count[order == number]
        report[name] = 100 * float((entries - 1).sum()) / max(1.0, float(entries.sum()))
    repeating = counts.sentence[(order == 2) & (counts.count > 1)]
    report["captions that repeat a triple"] = 100 * len(np.unique(repeating)) / len(captions)
    if finished is not None:
        report["unfinished"] = 100 * (1 - sum(finished) / len(captions))
    return report


def self_cider(captions: Sequence[Sequence[Tokens]], frequencies: DocumentFrequencies) -> Float[np.ndarray, " N"]:
    """Self-CIDEr of several captions of each image, 0 (all alike) to 1 (nothing in common) (Wang and Chan 2019).

    -log_m(s_1 / sum s): s are the square roots of the eigenvalues of the matrix of the m captions' similarities by
    CIDEr, without CIDEr-D's clipping and length penalty. frequencies: of the references, or of the training set.
    Raises DataError where an image has fewer than two captions.
    """
    several = [len(each) for each in captions]
    if several and min(several) < 2:
        raise DataError(f"image number {several.index(min(several))} has fewer than two captions to tell apart")
    counts = count_ngrams(list(chain.from_iterable(captions)))
    weights, norms = tf_idf(counts, frequencies.idf[frequencies.table.find(counts.table)])
    units = weights / norms / math.sqrt(LONGEST)
    ends = np.cumsum(several)
    result = []
    for begin, end in zip(ends - several, ends, strict=True):
        entries = slice(*np.searchsorted(counts.sentence, [begin, end]))
        columns, column = np.unique(counts.ngram[entries], return_inverse=True)
        vectors = np.zeros((end - begin, len(columns)))
        vectors[counts.sentence[entries] - begin, column] = units[entries]
        result.append(_spread(vectors))
    return np.array(result)


def _spread(vectors: Float[np.ndarray, "m D"]) -> float:
    """How evenly vectors lie in their space, 0..1."""
    singular = np.linalg.svd(vectors, compute_uv=False)
    if not singular.sum():
        return 0.0
    return max(0.0, -math.log(singular.max() / singular.sum()) / math.log(len(vectors)))
