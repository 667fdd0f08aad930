"""Kinds of something side by side: means over seeds with intervals, as a table in Markdown, CSV and plain text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95
NOTHING = "–"


@dataclass(frozen=True)
class Estimate:
    """The mean of a measure over seeds, and half the width of its 95 % interval; None for a single seed."""

    mean: float
    margin: float | None = None


@dataclass(frozen=True)
class Column:
    """A measure as the table shows it: its name among the estimates, how it is headed, and which end is the better."""

    name: str
    heading: str
    digits: int = 1
    best: Literal["highest", "lowest"] | None = "highest"

    def text(self, estimate: Estimate | None) -> str:
        """The mean, with its margin where there is one."""
        if estimate is None:
            return NOTHING
        mean = f"{estimate.mean:,.{self.digits}f}"
        return mean if estimate.margin is None else f"{mean} ± {estimate.margin:,.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """A kind: its estimates by the measure's name, over how many seeds, and why others failed, if any did."""

    name: str
    estimates: Mapping[str, Estimate]
    seeds: int = 1
    fault: str | None = None

    def mean(self, name: str) -> float | None:
        """The mean of a measure, None where it was not measured."""
        estimate = self.estimates.get(name)
        return None if estimate is None else estimate.mean


@dataclass(frozen=True)
class Comparison:
    """Rows, the best first, under columns of which each has a value somewhere; what is said below them.

    Where some kinds attend and others do not, only those that have a `needed` measure can be best: what looks at
    nothing is always fast.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    needed: str = ""

    def cells(self, column: Column, mark: str = "") -> list[str]:
        """A column's texts, the best of them between two `mark`s."""
        texts = [column.text(row.estimates.get(column.name)) for row in self.rows]
        best = self._best(column)
        return [f"{mark}{text}{mark}" if best is not None and text == best else text for text in texts]

    def markdown(self) -> str:
        """Title, table and notes; cells are padded, so that the source can be read as well."""
        names = [_escaped(row.name) for row in self.rows]
        columns = [["kind", *names]]
        columns += [[column.heading, *self.cells(column, "**")] for column in self.columns]
        if any(row.seeds > 1 for row in self.rows):
            columns.append(["seeds", *(str(row.seeds) for row in self.rows)])
        for index, row in enumerate(self.rows):
            if not row.estimates:
                columns[1][index + 1] = "failed"
        widths = [max(map(len, column)) for column in columns]
        lines = [" | ".join(_padded(cells, widths)) for cells in zip(*columns, strict=True)]
        rule = " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
        table = "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))
        notes = [*self.notes, *self.faults()]
        return f"# {self.title}\n\n{table}\n" + "".join(f"\n- {_escaped(note)}" for note in notes) + "\n"

    def csv(self) -> str:
        """Every measure to its last digit, with the margins."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.estimates))
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["kind", "seeds", *(head for name in names for head in (name, f"{name} ±")), "fault"])
        for row in self.rows:
            found = [row.estimates.get(name) for name in names]
            values = [value for each in found for value in ((each.mean, each.margin) if each else (None, None))]
            writer.writerow([row.name, row.seeds, *values, row.fault])
        return stream.getvalue()

    def text(self, most: int = 5) -> str:
        """The first columns for a terminal, and what failed."""
        shown = self.columns[:most]
        columns = [["", *(row.name for row in self.rows)], *([each.heading, *self.cells(each)] for each in shown)]
        widths = [max(map(len, column)) for column in columns]
        lines = ["  ".join(_padded(cells, widths)).rstrip() for cells in zip(*columns, strict=True)]
        return "\n".join([*lines, *self.faults()])

    def faults(self) -> list[str]:
        """What failed and why, one line each."""
        return [f"{row.name} failed: {row.fault}" for row in self.rows if row.fault]

    def _best(self, column: Column) -> str | None:
        """The best value as it is shown, so that what looks alike is marked alike; None if there is nothing to win."""
        fair = [row for row in self.rows if self.needed in row.estimates] or self.rows
        found = [row.estimates[column.name] for row in fair if column.name in row.estimates]
        if column.best is None or len(found) < 2:
            return None
        choose = max if column.best == "highest" else min
        return column.text(choose(found, key=lambda estimate: estimate.mean))


def compare(
    title: str, columns: Sequence[Column], rows: Sequence[Row], notes: Sequence[str] = (), needed: str = ""
) -> Comparison:
    """The rows sorted by the first column that has values, what failed last; columns without values are left out."""
    shown = [column for column in columns if any(column.name in row.estimates for row in rows)]

    def rank(row: Row) -> float:
        mean = row.mean(shown[0].name) if shown else None
        return math.inf if mean is None else mean if shown[0].best == "lowest" else -mean

    return Comparison(title, shown or columns[:1], sorted(rows, key=rank), notes, needed)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t-interval of independent runs."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Estimate(mean)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Estimate(mean, t_quantile(count - 1) * deviation / math.sqrt(count))


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t for which |T| < t with probability `confidence`, T distributed as Student's with `freedom` degrees."""
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < confidence else (low, middle)
    return high


def t_probability(t: float, freedom: int) -> float:
    """P(|T| < t) of Student's T (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for order in range(odd, freedom - 1, 2):  # the cosine's powers with (order + 1) / (order + 2) between them
        total += term
        term *= math.cos(angle) ** 2 * (order + 1) / (order + 2)
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    first, *others = zip(cells, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


def _escaped(text: str) -> str:
    """Text that can start no cell of its own and is shown as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;")
