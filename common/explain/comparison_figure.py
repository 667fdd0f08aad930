"""Kinds of something in one figure: quality against grounding, and below it what each kind costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from common.explain.canvas import QUIET, RULE, Box, Page
from common.explain.comparison import NOTHING, Column, Estimate, Row
from common.explain.plot import SIZE, SMALL, Scale, draw_frame, draw_heading
from common.explain.typesetting import fitting_size, text_width

WIDTH, DPI = 560.0, 200.0
MARGIN, PLOT_HEIGHT, ROW, GAP = 14.0, 250.0, 15.0, 12.0
DOT = 3.4  # a point's radius


@dataclass(frozen=True)
class Axis:
    """A measure to draw: its name among the estimates, what it is called, what to compare it with, where bars end.

    baselines: measures that are the same for all kinds, or nearly so, with what they are called. most: the value of a
    full bar; None takes the highest.
    """

    name: str
    heading: str
    baselines: Mapping[str, str] = field(default_factory=dict)
    most: float | None = None


@dataclass(frozen=True)
class _Cross:
    """A point on the page with half its intervals' widths."""

    x: float
    y: float
    wide: float
    high: float

    @staticmethod
    def of(looked: Estimate, told: Estimate, across: Scale, up: Scale) -> _Cross:
        x, y = across(looked.mean), up(told.mean)
        return _Cross(x, y, across(looked.mean + (looked.margin or 0.0)) - x, y - up(told.mean + (told.margin or 0.0)))

    def boxes(self) -> tuple[Box, Box, Box]:
        """Where no name may stand: at the point, and on its intervals."""
        return (
            Box(self.x - DOT - 2, self.y - DOT - 2, 2 * DOT + 4, 2 * DOT + 4),
            Box(self.x - self.wide, self.y - 1, 2 * self.wide, 2),
            Box(self.x - 1, self.y - self.high, 2, 2 * self.high),
        )


def draw_comparison(rows: Sequence[Row], quality: Axis, grounding: Axis, bars: Sequence[Axis]) -> Figure:
    """The page: points with their names and intervals, where any kind has both measures; then a line for each row.

    rows: the best first. bars: measures of which a kind has much or little.
    """
    page = Page(WIDTH, DPI)
    top = MARGIN
    shown = [row for row in rows if quality.name in row.estimates and grounding.name in row.estimates]
    if shown:
        frame = Box(MARGIN + 36, top + 16, WIDTH - 2 * MARGIN - 36, PLOT_HEIGHT)
        _draw_points(page, frame, rows, shown, quality, grounding)
        top = frame.bottom + 44
    measured = [_Bars.of(rows, axis, grounding.name) for axis in bars if _any(rows, axis.name)]
    top = _draw_lines(page, top, rows, quality, measured)
    return page.finish(top + MARGIN)


def _intervals(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    estimates = [row.estimates[name] for row in rows]
    return [(each.mean - (each.margin or 0.0), each.mean + (each.margin or 0.0)) for each in estimates]


def _any(rows: Sequence[Row], name: str) -> bool:
    return any(name in row.estimates for row in rows)


def _draw_points(
    page: Page, frame: Box, rows: Sequence[Row], shown: Sequence[Row], quality: Axis, grounding: Axis
) -> None:
    """Quality upwards, grounding to the right."""
    across = Scale.over(_intervals(shown, grounding.name), frame.left, frame.right)
    up = Scale.over(_intervals(shown, quality.name), frame.bottom, frame.top)
    draw_frame(page, frame, across, up)
    page.text(frame.left - 36, frame.top - 9, quality.heading, SIZE, weight="bold")
    heading = f"{grounding.heading}{_baselines(page, frame, rows, across, grounding)}"
    page.text(frame.right, frame.bottom + 26, heading, SIZE, align="right", weight="bold")
    blind = [row for row in rows if quality.name in row.estimates and grounding.name not in row.estimates]
    if blind:
        told = ", ".join(f"{row.name} {row.estimates[quality.name].mean:.1f}" for row in blind)
        page.text(frame.right, frame.top - 9, f"looking at nothing: {told}", SMALL, QUIET, "right")
        for row in blind:
            value = row.estimates[quality.name].mean
            if value in up:
                page.line((frame.left, up(value)), (frame.right, up(value)), dashed=True)
    crosses = [_Cross.of(row.estimates[grounding.name], row.estimates[quality.name], across, up) for row in shown]
    for cross in crosses:
        page.line((cross.x - cross.wide, cross.y), (cross.x + cross.wide, cross.y))
        page.line((cross.x, cross.y - cross.high), (cross.x, cross.y + cross.high))
        page.dot(cross.x, cross.y, DOT)
    _name_points(page, frame, crosses, [row.name for row in shown])


def _baselines(page: Page, frame: Box, rows: Sequence[Row], scale: Scale, axis: Axis) -> str:
    """What the baselines come to, in words; those in reach are drawn as well."""
    told = []
    for name, label in axis.baselines.items():
        values = [row.estimates[name].mean for row in rows if name in row.estimates]
        if values:
            mean = math.fsum(values) / len(values)
            told.append(f"{label} {mean:.1f}")
            if mean in scale:
                page.line((scale(mean), frame.top), (scale(mean), frame.bottom), dashed=True)
                page.text(scale(mean) + 3, frame.bottom - 4, label, SMALL, QUIET)
    return f" ({', '.join(told)})" if told else ""


def _name_points(page: Page, frame: Box, crosses: Sequence[_Cross], names: Sequence[str]) -> None:
    """Each name as near to its point as there is room; a line leads to one that had to go far."""
    taken = [box for cross in crosses for box in cross.boxes()]
    for cross, name in zip(crosses, names, strict=True):
        place = next(_candidates(cross, text_width(name, SIZE), frame, taken))
        taken.append(place)
        near_x = min(max(cross.x, place.left), place.right)
        near_y = min(max(cross.y, place.top), place.bottom)
        if math.hypot(near_x - cross.x, near_y - cross.y) > 2.5 * DOT:
            page.line((cross.x, cross.y), (near_x, near_y), width=0.5)
        page.text(place.left, place.bottom - 2.6, name, SIZE, halo=True)


def _candidates(cross: _Cross, width: float, frame: Box, taken: Sequence[Box]) -> Iterator[Box]:
    """Free places for a name beside a point, the nearest first; at last one that is not free."""
    x, y, height = cross.x, cross.y, SIZE + 2
    for distance in range(0, 160, 6):
        for angle in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200):
            across, down = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
            centre_x = x + across * (DOT + 5 + distance + width / 2 * abs(across))
            centre_y = y + down * (DOT + 3 + distance + height / 2)
            left = centre_x - width / 2 + (across > 0.3) * width / 2 * (1 - abs(across))
            left -= (across < -0.3) * width / 2 * (1 - abs(across))
            box = Box(left, centre_y - height / 2, width, height)
            inside = frame.left <= box.left and box.right <= frame.right + 8
            if inside and frame.top <= box.top and box.bottom <= frame.bottom and not any(_meet(box, e) for e in taken):
                yield box
    yield Box(min(x + DOT + 4, frame.right - width), y - height / 2, width, height)


def _meet(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def _draw_lines(page: Page, top: float, rows: Sequence[Row], quality: Axis, bars: Sequence[_Bars]) -> float:
    """A line for each kind: name, quality, and a bar for each measure; where the next thing may begin."""
    names = min(max((text_width(row.name, SIZE) for row in rows), default=0.0), 150.0)
    texts = [_text(row, quality) for row in rows]
    left = MARGIN + names + 12
    room = max(min(text_width(quality.heading, SMALL) + 1, 80.0), *(text_width(text, SIZE) for text in texts))
    start = left + room + 14
    width = (WIDTH - MARGIN - start + GAP) / max(len(bars), 1) - GAP
    boxes = [Box(start + index * (width + GAP), top + 25.6, width, 7) for index in range(len(bars))]
    draw_heading(page, Box(left, top, room, 16), quality.heading)
    for box, each in zip(boxes, bars, strict=True):
        draw_heading(page, Box(box.left, top, width, 16), each.axis.heading)
    page.line((MARGIN, top + 21), (WIDTH - MARGIN, top + 21), RULE)
    for index, (row, text) in enumerate(zip(rows, texts, strict=True)):
        down = index * ROW
        page.text(MARGIN, top + down + 32, row.name, fitting_size(row.name, SIZE, names))
        page.text(left + room, top + down + 32, text, SIZE, align="right")
        for box, each in zip(boxes, bars, strict=True):
            each.draw(page, Box(box.left, box.top + down, width, box.height), row)
    return top + 21 + len(rows) * ROW


def _text(row: Row, quality: Axis) -> str:
    return Column(quality.name, quality.heading).text(row.estimates.get(quality.name)) if row.estimates else "failed"


@dataclass(frozen=True)
class _Bars:
    """Bars of one measure, the longest that of `most`; amber for kinds that have the measure `needed`, else grey."""

    axis: Axis
    most: float
    needed: str

    @staticmethod
    def of(rows: Sequence[Row], axis: Axis, needed: str) -> _Bars:
        highest = max(row.estimates[axis.name].mean for row in rows if axis.name in row.estimates)
        return _Bars(axis, axis.most or highest, needed if _any(rows, needed) else axis.name)

    def draw(self, page: Page, box: Box, row: Row) -> None:
        estimate = row.estimates.get(self.axis.name)
        if estimate is not None:
            share = min(estimate.mean / self.most, 1.0) if self.most > 0 else 0.0
            page.bar(Box(box.left, box.top, box.width - 34, box.height), share, self.needed in row.estimates)
        text = NOTHING if estimate is None else _short(estimate.mean)
        page.text(box.right, box.bottom - 0.6, text, SMALL, QUIET, "right")


def _short(value: float) -> str:
    """In a few signs: 8.4, 48, 1,250, 23.1 k."""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    if value >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 20 or value == 0 else f"{value:.1f}"
