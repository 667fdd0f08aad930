"""Figures of answers: how far confidences can be trusted, and what is confused with what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from common.explain.canvas import INK, QUIET, RULE, Box, Page
from common.explain.plot import SIZE, SMALL, Scale, draw_frame, draw_heading
from common.explain.typesetting import fitting_size
from vqa.insight import OTHERS, Confusion
from vqa.metrics.calibration import BINS, Bin, RiskCoverage, calibration_error, equal_width_bins, risk_coverage

WIDTH, DPI = 560.0, 200.0
MARGIN, INDENT, PANEL, STRIP = 14.0, 36.0, 200.0, 34.0
POINTS = 400  # of a curve: more cannot be told apart in print
LABELS, CELL, ROW, TOTALS = 96.0, 45.0, 17.0, 76.0
MOST_KINDS = 6


def draw_confidence(confidences: Sequence[float], scores: Sequence[float]) -> Figure:
    """The reliability diagram, with how many answers each bin holds; beside it accuracy against coverage.

    confidences, scores: in 0..1, as for `score_confidences`, which says what is raised.
    """
    page = Page(WIDTH, DPI)
    width = (WIDTH - 2 * MARGIN - 2 * INDENT - 22) / 2
    left = Box(MARGIN + INDENT, MARGIN + 16, width, PANEL)
    right = Box(left.right + 22 + INDENT, left.top, width, PANEL + 6 + STRIP)
    _draw_reliability(page, left, equal_width_bins(confidences, scores))
    _draw_coverage(page, right, risk_coverage(confidences, scores))
    return page.finish(right.bottom + 30 + MARGIN)


def _draw_reliability(page: Page, frame: Box, bins: Sequence[Bin]) -> None:
    """A bar as high as each bin's accuracy, a tick at its confidence, and below the share of the answers in it."""
    across, up = Scale(0, 100, frame.left, frame.right), Scale(0, 100, frame.bottom, frame.top)
    strip = Box(frame.left, frame.bottom + 6, frame.width, STRIP)
    total, most = sum(each.answers for each in bins), max(each.answers for each in bins)
    draw_frame(page, Box(frame.left, frame.top, frame.width, frame.height + 6 + STRIP), across, up)
    for each in bins:
        left, wide = across(100 * each.low), across(100 * each.high) - across(100 * each.low)
        top = up(100 * each.accuracy)
        page.cell(Box(left, top, wide, frame.bottom - top), 1)
        page.line((left, up(100 * each.confidence)), (left + wide, up(100 * each.confidence)), INK, 1.2)
        height = STRIP * each.answers / most
        page.bar(Box(left + 0.5, strip.bottom - height, wide - 1, height), 1, False)
    page.line((frame.left, frame.bottom), (frame.right, frame.top), dashed=True)
    page.text(frame.left - INDENT, frame.top - 9, "accuracy, %", SIZE, weight="bold")
    told = f"calibration error {100 * calibration_error(bins):.1f} ({BINS} bins, {total:,} answers)"
    page.text(frame.right, frame.top - 9, told, SMALL, QUIET, "right")
    page.text(frame.left + 5, frame.top + 12, "bar: accuracy, line: confidence", SMALL, QUIET, halo=True)
    page.text(strip.left - 6, strip.bottom - 1, "answers", SMALL, QUIET, "right")
    page.text(frame.right, strip.bottom + 26, "confidence, %", SIZE, align="right", weight="bold")


def _draw_coverage(page: Page, frame: Box, curve: RiskCoverage) -> None:
    """The curve, what it would be if confidence told right from wrong, and without any."""
    accuracy = 100 * (1 - curve.risk)
    best = _best(curve)
    lowest = max(0.0, 1.1 * float(min(accuracy.min(), 99.0)) - 10)
    across, up = Scale(0, 100, frame.left, frame.right), Scale(lowest, 100, frame.bottom, frame.top)
    draw_frame(page, frame, across, up)
    picked = np.unique(np.linspace(0, len(accuracy) - 1, POINTS).astype(int))
    places = [across(100 * share) for share in curve.coverage[picked].tolist()]
    page.line((frame.left, up(accuracy[-1])), (frame.right, up(accuracy[-1])), dashed=True)
    page.curve(list(zip(places, map(up, best[picked].tolist()), strict=True)), RULE, 1.6)
    page.curve(list(zip(places, map(up, accuracy[picked].tolist()), strict=True)), INK, 1.6)
    page.text(frame.left - INDENT, frame.top - 9, "accuracy of the answers given, %", SIZE, weight="bold")
    page.text(frame.right, frame.top - 9, f"AURC {100 * curve.area:.1f}", SMALL, QUIET, "right")
    page.text(frame.left + 5, up(accuracy[-1]) + 9, f"all answers: {accuracy[-1]:.1f}", SMALL, QUIET, halo=True)
    page.text(frame.right, frame.bottom + 26, "coverage, % of the questions", SIZE, align="right", weight="bold")
    page.text(frame.right - 4, up(100) + 10, "pale: the best order there is", SMALL, QUIET, "right", halo=True)


def _best(curve: RiskCoverage) -> Float[np.ndarray, " N"]:
    """The accuracy in percent at each coverage if right answers came before wrong ones."""
    given = np.arange(1, len(curve.risk) + 1)
    losses = np.diff(curve.risk * given, prepend=0.0)
    return 100 * (1 - np.cumsum(np.sort(losses)) / given)


def draw_confusions(found: Sequence[Confusion]) -> Figure:
    """A table for each type of answer, the six most frequent types: rows are true answers, columns the given ones.

    A field is as amber as its share of the row, which it tells in percent; on the diagonal the answer is right.
    """
    page = Page(WIDTH, DPI)
    top = MARGIN
    for confusion in found[:MOST_KINDS]:
        top = _draw_confusion(page, top, confusion) + 16
    return page.finish(top)


def _draw_confusion(page: Page, top: float, confusion: Confusion) -> float:
    """One table; where the next may begin."""
    counts, labels = confusion.counts, confusion.answers
    total = int(counts.sum())
    left, begin = MARGIN + LABELS, top + 40
    page.text(MARGIN, top + 9, confusion.kind, SIZE, weight="bold")
    told = f"{total:,} questions, {confusion.right / total:.0%} answered as most annotators do"
    page.text(WIDTH - MARGIN, top + 9, told, SMALL, QUIET, "right")
    for number, label in enumerate(labels):
        draw_heading(page, Box(left + number * CELL + 2, top, CELL - 4, 34), label)
    page.text(MARGIN, top + 34, "true answer", SMALL, QUIET)
    draw_heading(page, Box(left + len(labels) * CELL + 8, top, TOTALS, 34), "questions")
    most = max(int(counts.sum(1).max()), 1)
    for number, label in enumerate(labels):
        asked, down = int(counts[number].sum()), begin + number * ROW
        page.text(left - 6, down + 11, label, fitting_size(label, SIZE, LABELS - 8), align="right")
        for column, count in enumerate(counts[number].tolist()):
            share = count / asked if asked else 0.0
            framed = number == column and label != OTHERS
            page.cell(Box(left + column * CELL, down, CELL - 1, ROW - 1), share, framed)
            if share >= 0.005:
                colour = INK if share >= 0.05 else QUIET
                page.text(left + (column + 0.5) * CELL, down + 11, f"{100 * share:.0f}", SMALL, colour, "center")
        bar = Box(left + len(labels) * CELL + 8, down + 5, TOTALS - 40, 7)
        page.bar(bar, asked / most, False)
        page.text(bar.right + 34, down + 11, f"{asked:,}", SMALL, QUIET, "right")
    return begin + len(labels) * ROW
