"""ROUGE-L (Lin 2004) as the COCO caption evaluation computes it (coco-caption, rouge.py)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

from captioning.metrics.ngrams import Tokens

BETA = 1.2  # recall weighs more than precision


def rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    """The mean over images, in 0..1: see `rouge_l_each`."""
    return float(rouge_l_each(hypotheses, references).mean())


def rouge_l_each(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> Float[np.ndarray, " N"]:
    """Of each image, in 0..1, the F-measure of the longest common subsequence.

    Precision and recall are each the best over an image's references, which need not be those of one reference. A
    caption without words counts as one empty word: it scores 0 against words and 1 against another empty caption.
    """
    return np.array([_f_measure(*pair) for pair in zip(hypotheses, references, strict=True)])


def _f_measure(hypothesis: Tokens, references: Sequence[Tokens]) -> float:
    hypothesis = hypothesis or ("",)
    references = [reference or ("",) for reference in references]
    common = [longest_common_subsequence(reference, hypothesis) for reference in references]
    precision = max(common) / len(hypothesis)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(first: Tokens, second: Tokens) -> int:
    """The length of the longest common subsequence, a row of the dynamic programme at a time as the bits of an integer.

    Hyyrö, "Bit-parallel LCS-length computation revisited" (2004): a bit is 0 where the row's length steps up by one.
    """
    positions: dict[Hashable, int] = {}
    for index, token in enumerate(first):
        positions[token] = positions.get(token, 0) | 1 << index
    ones = (1 << len(first)) - 1
    row = ones
    for token in second:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & ones
    return (row ^ ones).bit_count()
