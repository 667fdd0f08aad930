"""Scores of ranked answer options, as the visual dialogue challenge computes them (Das et al. 2017; 2018 for NDCG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from common.errors import DataError

Options: TypeAlias = Sequence[Sequence[float]] | Float[np.ndarray, "N O"]

AMONG = (1, 5, 10)


def score_ranking(scores: Options, truth: Sequence[int] | Int[np.ndarray, " N"]) -> dict[str, float]:
    """R@1, R@5, R@10 and MRR in percent, and the mean rank, of the option that a person gave; R@k of more options.

    scores: [N O] of each question's options; equal ones keep their order. truth: [N], the number of the true option.
    Raises DataError where there is none, or a score that is no number.
    """
    ranks = _ranks(scores)
    true: Int[np.ndarray, " N"] = np.asarray(truth, dtype=np.int64)
    if true.shape != ranks.shape[:1] or not ((true >= 0) & (true < ranks.shape[1])).all():
        raise DataError(f"the true options must be {ranks.shape[0]} numbers below {ranks.shape[1]}")
    rank = ranks[np.arange(len(true)), true]
    scored = {f"R@{most}": 100 * float((rank <= most).mean()) for most in AMONG if most < ranks.shape[1]}
    return scored | {"MRR": 100 * float((1 / rank).mean()), "mean rank": float(rank.mean())}


def ndcg(scores: Options, relevance: Options) -> float:
    """NDCG in percent: relevance found among the first K, discounted by log2(1 + rank), over the most there could be.

    K is how many options some annotator found relevant, for each question on its own.
    scores, relevance: [N O]. Raises DataError where shapes differ, or a question has no relevant option.
    """
    ranks, relevant = _ranks(scores), np.asarray(relevance, dtype=np.float64)
    if relevant.shape != ranks.shape:
        raise DataError(f"scores {list(ranks.shape)} and relevance {list(relevant.shape)} must be of one shape")
    depth = (relevant != 0).sum(1, keepdims=True)
    if not depth.all():
        raise DataError(f"question {int(np.flatnonzero(depth == 0)[0]) + 1} has no relevant option: leave it out")
    gain = (relevant / np.log2(1 + ranks) * (ranks <= depth)).sum(1)
    best = -np.sort(-relevant, axis=1)
    ideal = (best / np.log2(2 + np.arange(best.shape[1]))).sum(1)
    return 100 * float((gain / ideal).mean())


def _ranks(scores: Options) -> Int[np.ndarray, "N O"]:
    """1 for the best option of each question, and so on."""
    given: Float[np.ndarray, "N O"] = np.asarray(scores, dtype=np.float64)
    if given.ndim != 2 or not given.size or np.isnan(given).any():
        raise DataError("scores must be numbers for each question's options: at least one question with one option")
    order = np.argsort(-given, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable") + 1
