"""How sure a score is, and whether one run is better than another on the same examples.

Each run gives a row of numbers for each example, its statistics: a score of the whole set is a function of their sum
over the examples. A mean needs one column, the examples' values; corpus BLEU needs matches, guesses and lengths, and
its score function puts them together (Koehn 2004). So all resamples of a test come from a few matrix products, and
nothing is scored again. Examples count as independent; where several share a picture, `grouped` makes the pictures the
examples.

Tests and intervals speak of other examples of this kind, not of other seeds: `common.explain.comparison` has those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from common.errors import DataError

# Sums of the statistics over the examples of each resample [S K] -> the score of each [S].
Score: TypeAlias = Callable[[Float[np.ndarray, "S K"]], Float[np.ndarray, " S"]]

SAMPLES = 2000  # for 95 % intervals and p-values down to about 0.001
CHUNK = 1 << 18  # numbers that are resampled at once: 2 MB, which a processor's cache holds
ROUNDING = 1e-10  # differences that are equal but for rounding, relative to the scores


class Interval(NamedTuple):
    """A score, and the interval that holds it with the confidence asked for."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """The first run's score minus the second's, its interval, and how likely chance alone is to give that much."""

    value: float
    low: float
    high: float
    p_value: float


class McNemar(NamedTuple):
    """How many examples only the first run got right and only the second, and the two-sided p-value."""

    only_first: int
    only_second: int
    p_value: float


def bootstrap_interval(
    statistics: ArrayLike, score: Score | None = None, samples: int = SAMPLES, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The score of statistics [N K], or the mean of values [N], and its percentile interval (Efron 1979).

    score: turns sums [S K] into scores [S]; by default they are divided by N. Examples are drawn with replacement.
    Raises DataError where there is no example, or a number that is none.
    """
    rows, score = _rows(statistics), score or _mean_of(statistics)
    drawn = np.concatenate([score(counts @ rows) for counts in _bootstrap_counts(len(rows), samples, seed)])
    return Interval(_whole(rows, score), *_percentiles(drawn, confidence))


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    score: Score | None = None,
    samples: int = SAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The difference of two runs' scores on the same examples, in the same order (Koehn 2004, section 4).

    Both runs are scored on each resample. The p-value is two-sided, twice the share of the resamples that do not favour
    the run which is better as a whole: it is below 1 - confidence where the interval leaves 0 out.
    Raises DataError where the runs do not have the same examples.
    """
    ours, theirs, score = _pair(first, second, score)
    differences = []
    for counts in _bootstrap_counts(len(ours), samples, seed):
        differences.append(score(counts @ ours) - score(counts @ theirs))
    drawn = np.concatenate(differences)
    value = _whole(ours, score) - _whole(theirs, score)
    against = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return Difference(value, *_percentiles(drawn, confidence), min(1.0, 2 * (against + 1) / (samples + 1)))


def paired_randomisation(
    first: ArrayLike, second: ArrayLike, score: Score | None = None, samples: int = SAMPLES, seed: int = 0
) -> float:
    """The two-sided p-value of the difference by approximate randomisation (Noreen 1989; Riezler and Maxwell 2005).

    If the runs are alike, their outputs for an example may change places: how often does that make as large a
    difference? It assumes less than the bootstrap and errs to the safe side. Raises as `paired_bootstrap`.
    """
    ours, theirs, score = _pair(first, second, score)
    observed = abs(_whole(ours, score) - _whole(theirs, score))
    observed -= ROUNDING * (abs(_whole(ours, score)) + abs(_whole(theirs, score)))
    total, gap = ours.sum(0), theirs - ours
    generator = np.random.default_rng(seed)
    as_large = 0
    for size in _chunks(len(ours), samples):
        swapped = generator.integers(2, size=(size, len(ours)), dtype=np.uint8).astype(np.float64)
        moved = swapped @ gap
        differences = score(total + moved) - score(theirs.sum(0) - moved)
        as_large += np.count_nonzero(np.abs(differences) >= observed)
    return (as_large + 1) / (samples + 1)


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's test (1947), exact, of right (true) and wrong answers [N] to the same questions.

    Were the runs alike, each question that one alone got right would be either's with probability 1/2: a sign test.
    Raises DataError where there are not as many answers of each.
    """
    ours, theirs = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _same_examples(len(ours), len(theirs))
    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return McNemar(only_first, only_second, _sign_test(min(only_first, only_second), only_first + only_second))


def grouped(values: ArrayLike, groups: Sequence[Hashable]) -> Float[np.ndarray, "G 2"]:
    """The sum and the number of the values [N] of each group, such as a picture's questions: statistics for `ratio`.

    Groups are in the order in which they first come, so those of two runs on the same examples are in the same order.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    where = np.array([numbers[group] for group in groups], dtype=np.intp)
    column = _rows(values)[:, 0]
    _same_examples(len(column), len(where))
    return np.stack([np.bincount(where, column), np.bincount(where)], axis=1)


def ratio(sums: Float[np.ndarray, "S K"]) -> Float[np.ndarray, " S"]:
    """The first sum divided by the second; 0 where that is 0."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)


def _rows(statistics: ArrayLike) -> Float[np.ndarray, "N K"]:
    rows = np.asarray(statistics, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if not len(rows):
        raise DataError("no examples to take an interval or a test of: give at least one")
    if not np.isfinite(rows).all():
        raise DataError(f"example {int(np.flatnonzero(~np.isfinite(rows).all(1))[0])} has a score that is no number")
    return rows


def _pair(
    first: ArrayLike, second: ArrayLike, score: Score | None
) -> tuple[Float[np.ndarray, "N K"], Float[np.ndarray, "N K"], Score]:
    ours, theirs = _rows(first), _rows(second)
    _same_examples(len(ours), len(theirs))
    return ours, theirs, score or _mean_of(first)


def _same_examples(ours: int, theirs: int) -> None:
    if ours != theirs:
        raise DataError(f"runs on {ours} and {theirs} examples cannot be compared: give both on the same ones")


def _mean_of(statistics: ArrayLike) -> Score:
    examples = np.shape(statistics)[0]
    return lambda sums: sums[:, 0] / examples


def _whole(rows: Float[np.ndarray, "N K"], score: Score) -> float:
    return float(score(rows.sum(0, keepdims=True))[0])


def _chunks(examples: int, samples: int) -> Iterator[int]:
    """How many resamples to make at a time."""
    size = max(1, CHUNK // examples)
    for begin in range(0, samples, size):
        yield min(size, samples - begin)


def _bootstrap_counts(examples: int, samples: int, seed: int) -> Iterator[Float[np.ndarray, "S N"]]:
    """How often each example is in each resample, some resamples at a time."""
    generator = np.random.default_rng(seed)
    for size in _chunks(examples, samples):
        drawn: Int[np.ndarray, "S N"] = generator.integers(examples, size=(size, examples))
        drawn += np.arange(size)[:, None] * examples
        counts = np.bincount(drawn.ravel(), minlength=size * examples)
        yield counts.reshape(size, examples).astype(np.float64)


def _percentiles(drawn: Float[np.ndarray, " S"], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _sign_test(fewer: int, trials: int) -> float:
    """P(at most so few heads, or at most so few tails, in so many tosses), by logarithms of binomial coefficients."""
    heads = np.arange(1, fewer + 1)
    coefficients = np.concatenate([[0.0], np.cumsum(np.log((trials - heads + 1) / heads))])
    return min(1.0, 2 * float(np.exp(coefficients - trials * math.log(2)).sum()))
