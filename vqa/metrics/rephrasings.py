"""Consistency under rephrasings: is a question that is put in other words answered as well? (Shah et al. 2019)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from statistics import fmean

from common.data.results import Id, some
from common.errors import DataError


def consensus(groups: Mapping[Id, Sequence[float]], most: int = 4) -> dict[str, float]:
    """CS(1) to CS(most), in percent: the share of the sets of k rephrasings that are all answered right, by group mean.

    groups: the scores of each question's rephrasings, the original among them; above 0 an answer counts as right.
    A group with fewer than k questions does not count for CS(k).
    Raises DataError where there is no group, or one has a single question.
    """
    if not groups:
        raise DataError("no groups of rephrasings to compare: give at least one")
    if single := [name for name, scores in groups.items() if len(scores) < 2]:
        raise DataError(f"{len(single)} groups have a single question, without a rephrasing, such as {some(single)}")
    right = [(sum(score > 0 for score in scores), len(scores)) for scores in groups.values()]
    shares = {k: [comb(good, k) / comb(asked, k) for good, asked in right if asked >= k] for k in range(1, most + 1)}
    return {f"CS({k})": 100 * fmean(share) for k, share in shares.items() if share}
