"""Scores of a run as measures that know each example's part in them, so that any two runs can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from common.errors import DataError
from common.statistics import Score, bootstrap_interval, paired_bootstrap, paired_randomisation


@dataclass(frozen=True)
class Measure:
    """One score: the statistics [N K] of the examples, and what turns their sum into it; of values [N], the mean."""

    statistics: ArrayLike
    score: Score | None = None

    @property
    def value(self) -> float:
        """The score of all examples; raises DataError where there are none."""
        return bootstrap_interval(self.statistics, self.score, samples=1).value

    @property
    def each(self) -> Float[np.ndarray, " N"]:
        """The score of each example by itself."""
        statistics = np.asarray(self.statistics, dtype=np.float64)
        return statistics if self.score is None else self.score(statistics)


@dataclass(frozen=True)
class Comparison:
    """One measure of two runs on the same examples: both scores, the difference with its interval, and two p-values."""

    first: float
    second: float
    low: float
    high: float
    bootstrap_p: float
    randomisation_p: float

    @property
    def difference(self) -> float:
        """The first run's score minus the second's."""
        return self.first - self.second


def compare(
    first: Mapping[str, Measure], second: Mapping[str, Measure], samples: int = 2000, seed: int = 0
) -> dict[str, Comparison]:
    """The measures that both runs have, compared; raises DataError where they have none, or other examples."""
    names = [name for name in first if name in second]
    if not names:
        raise DataError("the two runs have no measure in common: score them in the same way")
    return {name: _compare(first[name], second[name], samples, seed) for name in names}


def _compare(first: Measure, second: Measure, samples: int, seed: int) -> Comparison:
    runs = np.asarray(first.statistics), np.asarray(second.statistics)
    difference = paired_bootstrap(*runs, first.score, samples, seed=seed)
    p_value = paired_randomisation(*runs, first.score, samples, seed)
    return Comparison(first.value, second.value, difference.low, difference.high, difference.p_value, p_value)


def comparison_table(comparisons: Mapping[str, Comparison], first: str, second: str) -> str:
    """The comparisons in columns. A star marks differences that both tests take for more than chance."""
    rows: list[tuple[str, ...]] = [("", first, second, "difference", "95 % interval", "p boot", "p rand", "")]
    for name, each in comparisons.items():
        sure = "*" if max(each.bootstrap_p, each.randomisation_p) < 0.05 else ""
        numbers = [f"{each.first:.2f}", f"{each.second:.2f}", f"{each.difference:+.2f}"]
        interval = f"{each.low:+.2f} .. {each.high:+.2f}"
        rows.append((name, *numbers, interval, f"{each.bootstrap_p:.4f}", f"{each.randomisation_p:.4f}", sure))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join(lines)
