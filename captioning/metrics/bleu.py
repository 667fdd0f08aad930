"""Corpus BLEU (Papineni et al. 2002) as the COCO caption evaluation computes it (coco-caption, bleu_scorer.py)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from captioning.metrics.ngrams import LONGEST, NGram, Tokens, count_ngrams

# The official constants: nothing matched gives almost 0 instead of log 0, and nothing guessed gives 0 instead of 0 / 0.
TINY = 1e-15
SMALL = 1e-9


def bleu(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, ...]:
    """BLEU-1, -2, -3 and -4 in 0..1 of a whole corpus: one hypothesis and one or more references for each image.

    Matches are clipped by the largest count in any one reference; the length that a hypothesis is held against is that
    of the reference nearest to it in length, the shorter one of two equally near ("closest").
    """
    guessed, matched = [0] * LONGEST, [0] * LONGEST
    hypothesis_length = reference_length = 0
    for hypothesis, image_references in zip(hypotheses, references, strict=True):
        length = len(hypothesis)
        hypothesis_length += length
        reference_length += min((abs(len(reference) - length), len(reference)) for reference in image_references)[1]
        for order, count in enumerate(_matches(hypothesis, image_references)):
            matched[order] += count
            guessed[order] += max(0, length - order)

    ratio = (hypothesis_length + TINY) / (reference_length + SMALL)
    brevity_penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, precisions = [], 1.0
    for order in range(LONGEST):
        precisions *= (matched[order] + TINY) / (guessed[order] + SMALL)
        scores.append(precisions ** (1 / (order + 1)) * brevity_penalty)
    return tuple(scores)


def _matches(hypothesis: Tokens, references: Sequence[Tokens]) -> list[int]:
    """For each order, how many n-grams of the hypothesis are in the references, each at most as often as in one."""
    most: Counter[NGram] = Counter()
    for reference in references:
        most |= count_ngrams(reference)  # the union of counters keeps the larger count
    matched = [0] * LONGEST
    for ngram, count in (count_ngrams(hypothesis) & most).items():
        matched[len(ngram) - 1] += count
    return matched
