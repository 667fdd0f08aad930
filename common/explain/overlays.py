"""Pictures of attention: a caption's words over what each of them looked at, an answer with its levels of attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from common.attention.maps import AttentionMap, Boxes, Grid, Words
from common.data.records import Prediction
from common.explain.canvas import INK, POINTS_PER_INCH, QUIET, RIGHT, WRONG, Box, Page, light_up
from common.explain.placement import place_map
from common.explain.typesetting import fitting_size, text_width, wrap, wrap_text

Array = TypeVar("Array", np.ndarray, Tensor)

PAGE_WIDTH = 720.0  # points; at most
MARGIN, GAP = 10.0, 8.0
SIDE = 150.0  # width of the column with question and answers
CAPTION_AREA, ANSWER_AREA = 92.0**2, 130.0**2  # of a panel's picture, in square points
MIN_WIDTH = 48.0  # of a panel, for tall pictures
SLENDEREST = 16.0  # the greatest ratio of a panel's sides; a picture beyond it is squashed to fit a page
SIZE, LINE = 8.5, 15.0  # of type, and from line to line
DPI_RANGE = (150.0, 400.0)
OUTLINED = 0.2  # boxes with less than this share of the greatest weight are not outlined
SHOWN_ANSWERS = 5
PART_AREA, PART_SIDE, PART_COLUMNS, SHOWN_PARTS = 62.0**2, 48.0, 10, 8


@dataclass(frozen=True)
class Level:
    """What one level of attention looked at: words of the question, regions of the picture, or both."""

    name: str
    words: tuple[str, ...] = ()
    word_weights: Float[Tensor, " T"] | None = None
    region_weights: Float[Tensor, " R"] | None = None

    def chip_lines(self, width: float) -> list[list[int]]:
        """The words of each line of chips within `width`."""
        return wrap([_chip_width(word) for word in self.words], width, space=2)


def map_rows(attention: AttentionMap | None) -> list[tuple[str, Float[Tensor, " K"]]]:
    """Each query's label and weights; axes in front of the queries (heads, glimpses) are averaged away."""
    if attention is None:
        return []
    if attention.weights.ndim == 1:
        return [(attention.kind, attention.weights)]
    rows = attention.weights.flatten(0, -3).mean(0) if attention.weights.ndim > 2 else attention.weights  # [Q K]
    numbered = tuple(f"{attention.axes[-2]} {number}" for number in range(1, len(rows) + 1))
    return list(zip(attention.query_labels or numbered, rows, strict=True))


def draw_caption(image: Image.Image, prediction: Prediction, dpi: float | None = None) -> Figure:
    """The picture with its caption, then once for each word, lit where the word looked, with the word's probability.

    Light is relative to the greatest weight of the word, so that an even map lights the whole picture; a line encloses
    what has more than half of the greatest. dpi: None keeps the picture's resolution, between 150 and 400 dpi.
    """
    rows = map_rows(prediction.maps.get("caption"))
    columns = _columns_beside(len(rows))
    size = width, height = _panel_size(image, CAPTION_AREA, columns + 2, PAGE_WIDTH - 2 * MARGIN)
    page = Page(2 * MARGIN + (columns + 2) * (width + GAP) - GAP, dpi or _native_dpi(image, width))
    below = max(_draw_captioned(page, image, size, prediction.text), MARGIN + 2 * (height + LINE + GAP))
    panels = list(islice(_panels_around(columns, size, below), len(rows)))
    for index, ((word, weights), box) in enumerate(zip(rows, panels, strict=True)):
        _draw_lit(page, image, box, weights, _regions(prediction, "caption"))
        likely = f"{math.exp(prediction.token_log_probs[index]):.2f}" if prediction.token_log_probs else ""
        _draw_label(page, box, word, likely)
    bottom = max([below, *(box.bottom + LINE + GAP for box in panels)])
    return page.finish(bottom - GAP + MARGIN)


def draw_answer(
    image: Image.Image, question: str, prediction: Prediction, truth: str | None = None, dpi: float | None = None
) -> Figure:
    """Question and answers, the picture, and for each level of attention the shaded question over the lit picture.

    Levels are those of the maps "image" and "question", brought together by name; either map may be missing.
    Shades and light are relative to the greatest weight of the level. dpi: as in `draw_caption`.
    """
    panels = [Level("picture"), *_levels(prediction)]
    columns = math.ceil(len(panels) / math.ceil(len(panels) / 4))
    width, height = _panel_size(image, ANSWER_AREA, columns, PAGE_WIDTH - 2 * MARGIN - SIDE - GAP)
    page = Page(2 * MARGIN + SIDE + columns * (width + GAP), dpi or _native_dpi(image, width))
    side_bottom = _draw_question_and_answers(page, question, prediction, truth)
    bottom = MARGIN
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        header = LINE * (1 + max(len(level.chip_lines(width)) for level in row))
        for place, level in enumerate(row):
            box = Box(MARGIN + SIDE + GAP + place * (width + GAP), bottom + header, width, height)
            _draw_chips(page, level, box)
            if level.region_weights is None:
                page.picture(_resized(image, box, page), box)
            else:
                _draw_lit(page, image, box, level.region_weights, _regions(prediction, "image"))
        bottom += header + height + GAP
    return page.finish(max(bottom - GAP, side_bottom) + MARGIN)


def draw_parts(image: Image.Image, attention: AttentionMap, dpi: float | None = None) -> Figure:
    """A row for each part of the attention (head, hop, glimpse, ...), lit where it looked for each word or level.

    Of many parts, those are shown whose looks are furthest from the mean of all. dpi: as in `draw_caption`.

    Raises:
        ValueError: the map is not one of (part, query, region).
    """
    if attention.weights.ndim != 3 or isinstance(attention.key_layout, Words):
        raise ValueError(f"expected a map of (part, query, region), not of {attention.axes}")
    shown = _most_telling(attention.weights)
    columns = min(attention.weights.shape[1], PART_COLUMNS)
    width, height = _panel_size(image, PART_AREA, columns, PAGE_WIDTH - 2 * MARGIN - PART_SIDE)
    page = Page(2 * MARGIN + PART_SIDE + columns * (width + GAP) - GAP, dpi or _native_dpi(image, width))
    top = MARGIN
    for start in range(0, len(attention.query_labels), columns):
        for place, label in enumerate(attention.query_labels[start : start + columns]):
            left = MARGIN + PART_SIDE + place * (width + GAP)
            page.text(left, top + LINE - 5, label, fitting_size(label, SIZE, width))
        top += LINE
        for part in shown:
            name = f"{attention.axes[0]} {part + 1}"
            page.text(MARGIN, top + height / 2, name, fitting_size(name, SIZE, PART_SIDE - GAP), QUIET)
            for place, weights in enumerate(attention.weights[part, start : start + columns]):
                box = Box(MARGIN + PART_SIDE + place * (width + GAP), top, width, height)
                _draw_lit(page, image, box, weights, attention.key_layout)
            top += height + GAP / 2
        top += GAP / 2
    return page.finish(top - GAP + MARGIN)


def _most_telling(weights: Float[Tensor, "P Q R"]) -> list[int]:
    """The parts to show, in order: all, or those of the greatest total variation from the mean of all."""
    distance = (weights - weights.mean(0)).abs().sum((1, 2))
    return sorted(distance.topk(min(len(weights), SHOWN_PARTS)).indices.tolist())


def _levels(prediction: Prediction) -> list[Level]:
    question = prediction.maps.get("question")
    regions, words = dict(map_rows(prediction.maps.get("image"))), dict(map_rows(question))
    labels = question.key_layout.labels if question and isinstance(question.key_layout, Words) else ()
    names = [*regions, *(name for name in words if name not in regions)]
    return [Level(name, labels if name in words else (), words.get(name), regions.get(name)) for name in names]


def _regions(prediction: Prediction, name: str) -> Grid | Boxes:
    layout = prediction.maps[name].key_layout
    if isinstance(layout, Words):
        raise ValueError(f"map {name!r} lies over words, where regions of the picture were expected")
    return layout


def _panel_size(image: Image.Image, area: float, columns: int, room: float) -> tuple[float, float]:
    """Width and height, in points, of panels of the picture's aspect, `columns` of which fit beside one another."""
    aspect = min(max(image.width / image.height, 1 / SLENDEREST), SLENDEREST)
    fitting = (room + GAP) / columns - GAP
    width = min(max(math.sqrt(area * aspect), MIN_WIDTH), fitting)
    return width, width / aspect


def _columns_beside(words: int) -> int:
    """How many panels of words stand beside the main picture in each of two rows; further rows hold two more."""
    if words <= 14:
        return math.ceil(words / 2)
    return min((5, 6, 7), key=lambda columns: (2 * columns - words) % (columns + 2))  # the fullest last row


def _native_dpi(image: Image.Image, width: float) -> float:
    return min(max(image.width / width * POINTS_PER_INCH, DPI_RANGE[0]), DPI_RANGE[1])


def _panels_around(columns: int, size: tuple[float, float], below: float) -> Iterator[Box]:
    """Places for panels: two rows of `columns` beside the main picture, then rows of the whole width below it."""
    width, height = size
    row = 0
    while True:
        first = 2 if row < 2 else 0
        top = MARGIN + row * (height + LINE + GAP) if row < 2 else below + (row - 2) * (height + LINE + GAP)
        for column in range(first, columns + 2):
            yield Box(MARGIN + column * (width + GAP), top, width, height)
        row += 1


def _draw_captioned(page: Page, image: Image.Image, size: tuple[float, float], caption: str) -> float:
    """The picture over two by two panels with the caption under it; returns where the next thing may begin."""
    width, height = size
    box = Box(MARGIN, MARGIN, 2 * width + GAP, (2 * width + GAP) * height / width)
    page.picture(_resized(image, box, page), box)
    baseline = box.bottom
    for line in wrap_text(caption, box.width, SIZE + 1.5):
        baseline += LINE
        page.text(box.left, baseline, line, SIZE + 1.5)
    return baseline + GAP


def _draw_lit(page: Page, image: Image.Image, box: Box, weights: Float[Tensor, " R"], layout: Grid | Boxes) -> None:
    """The picture lit by the weights, with the half-maximum line of a grid or the outlines of the boxes."""
    picture = _resized(image, box, page)
    light = _relative(place_map(weights, layout, (picture.shape[1], picture.shape[0]), smooth=True))
    page.picture(light_up(picture, light), box)
    if isinstance(layout, Grid):
        page.contour(light, 0.5, box)
        return
    for corners, share in zip(layout.corners.tolist(), _relative(weights).tolist(), strict=True):
        if share >= OUTLINED:
            x0, y0, x1, y1 = corners
            left, top = box.left + x0 * box.width, box.top + y0 * box.height
            page.outline(Box(left, top, (x1 - x0) * box.width, (y1 - y0) * box.height), share)
            if share == 1:
                page.tag(left, top, f"{float(weights.max()):.2f}")


def _relative(weights: Array) -> Array:
    """In parts of the greatest; all zero where the greatest is zero."""
    return weights / (weights.max() or 1)


def _draw_label(page: Page, box: Box, word: str, probability: str) -> None:
    room = box.width - text_width(probability, SIZE - 1.5) - 3
    page.text(box.left, box.bottom + LINE - 4, word, fitting_size(word, SIZE, room))
    page.text(box.right, box.bottom + LINE - 4, probability, SIZE - 1.5, QUIET, align="right")


def _draw_chips(page: Page, level: Level, box: Box) -> None:
    """The level's name and the shaded words, standing on the upper edge of `box`."""
    lines = level.chip_lines(box.width)
    top = box.top - LINE * (len(lines) + 1)
    page.text(box.left, top + 10, level.name, SIZE - 1, QUIET)
    shares = _relative(level.word_weights).tolist() if level.word_weights is not None else []
    for line in lines:
        top += LINE
        left = box.left
        for index in line:
            chip = Box(left, top, min(_chip_width(level.words[index]), box.width), LINE - 2.5)
            page.chip(chip, shares[index])
            size = fitting_size(level.words[index], SIZE - 1, chip.width - 4)
            page.text(chip.left + chip.width / 2, chip.bottom - 3.6, level.words[index], size, align="center")
            left = chip.right + 2


def _chip_width(word: str) -> float:
    return text_width(word, SIZE - 1) + 6


def _draw_question_and_answers(page: Page, question: str, prediction: Prediction, truth: str | None) -> float:
    """The column at the left: question, answer, whether it is right, and the bars; returns its lower end."""
    baseline = MARGIN - 4
    for line in wrap_text(question, SIDE, SIZE + 1):
        baseline += LINE
        page.text(MARGIN, baseline, line, SIZE + 1)
    baseline += 4
    for line in wrap_text(prediction.text, SIDE, SIZE + 5):
        baseline += LINE + 5
        page.text(MARGIN, baseline, line, SIZE + 5, weight="bold")
    if truth is not None:
        right = prediction.text.strip().lower() == truth.strip().lower()
        baseline += LINE
        verdict = "✓ right" if right else f"✗ truth: {truth}"
        page.text(MARGIN, baseline, verdict, fitting_size(verdict, SIZE, SIDE), RIGHT if right else WRONG)
    baseline += GAP
    for rank, (answer, probability) in enumerate(
        (one.text, one.score) for one in (prediction, *prediction.alternatives)
    ):
        if rank == SHOWN_ANSWERS:
            break
        baseline += LINE + 3
        page.text(MARGIN, baseline, answer, fitting_size(answer, SIZE - 1, SIDE - 30), INK if rank == 0 else QUIET)
        page.text(MARGIN + SIDE, baseline, f"{probability:.2f}", SIZE - 1, QUIET, align="right")
        page.bar(Box(MARGIN, baseline + 3, SIDE, 2.5), probability, strong=rank == 0)
    return baseline + GAP


def _resized(image: Image.Image, box: Box, page: Page) -> np.ndarray:
    """The picture's pixels [H W 3], no finer than the page shows them: compositing costs by the pixel."""
    width = min(image.width, max(1, round(box.width / POINTS_PER_INCH * page.figure.dpi)))
    height = max(1, round(width * image.height / image.width))
    return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
