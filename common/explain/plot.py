"""What plots on a page have in common: scales, frames with ticks, headings over columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from common.explain.canvas import QUIET, RULE, Box, Page
from common.explain.typesetting import wrap_text

SIZE, SMALL = 8.0, 6.8  # of type


@dataclass(frozen=True)
class Scale:
    """From values to points on the page."""

    low: float
    high: float
    start: float
    end: float

    @staticmethod
    def over(intervals: Iterable[tuple[float, float]], start: float, end: float) -> Scale:
        """Room for all intervals, and a little more."""
        lows, highs = zip(*intervals, strict=True)
        low, high = min(lows), max(highs)
        room = 0.09 * (high - low) or max(0.05 * abs(high), 1.0)
        return Scale(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self) -> list[float]:
        return [tick for tick in map(float, MaxNLocator(6).tick_values(self.low, self.high)) if tick in self]


def draw_frame(page: Page, frame: Box, across: Scale, up: Scale) -> None:
    """Pale lines at the ticks, with their values."""
    for tick in across.ticks():
        page.line((across(tick), frame.top), (across(tick), frame.bottom), RULE, 0.4)
        page.text(across(tick), frame.bottom + 11, f"{tick:g}", SMALL, QUIET, "center")
    for tick in up.ticks():
        page.line((frame.left, up(tick)), (frame.right, up(tick)), RULE, 0.4)
        page.text(frame.left - 6, up(tick) + 2.4, f"{tick:g}", SMALL, QUIET, "right")


def draw_heading(page: Page, box: Box, text: str) -> None:
    """Broken into lines that end at the box's bottom."""
    for index, line in enumerate(reversed(wrap_text(text, box.width, SMALL))):
        page.text(box.left, box.bottom - index * (SMALL + 1.4), line, SMALL, QUIET)
