"""Drawing for print: a page laid out in points, pictures lit where attention is, words shaded by it, and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from common.errors import ConfigError
from common.explain.typesetting import FONT, text_width
from common.files import replacing

POINTS_PER_INCH = 72
INK, QUIET, RULE, PALE = "#1f2328", "#6e7781", "#c4ccd4", "#eef1f4"
AMBER = (255, 176, 59)  # what attention adds to a picture and to a word, in 0..255
DIM = 0.32  # how much light is left where there is no attention
RIGHT, WRONG = "#1a7f37", "#cf222e"
# Type 42 embeds the fonts in a PDF, so that its text can be searched; an SVG gets outlines, because it cannot carry a
# font and the text would be set in another one, of other widths, wherever ours is missing.
_STYLE = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "saccade"}


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in points from the upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def right(self) -> float:
        return self.left + self.width


class Page:
    """A figure whose one axes covers it all and is measured in points from the upper left corner."""

    def __init__(self, width: float, dpi: float) -> None:
        self.width = width
        self.figure = Figure(figsize=(1, 1), dpi=dpi, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def finish(self, height: float) -> Figure:
        """The figure, cut to the height that turned out to be needed."""
        self.figure.set_size_inches(self.width / POINTS_PER_INCH, height / POINTS_PER_INCH)
        self.axes.set(xlim=(0, self.width), ylim=(height, 0), aspect="auto")
        return self.figure

    def picture(self, pixels: UInt8[np.ndarray, "H W 3"], box: Box) -> None:
        extent = (box.left, box.right, box.bottom, box.top)
        self.axes.imshow(pixels, extent=extent, aspect="auto", interpolation="auto", zorder=1)

    def contour(self, heights: Float[np.ndarray, "H W"], level: float, box: Box) -> None:
        """The line where the map passes `level`, drawn amber on a dark ground so that it shows on any picture.

        A map of a single row or column has none.
        """
        x = box.left + (np.arange(heights.shape[1]) + 0.5) / heights.shape[1] * box.width
        y = box.top + (np.arange(heights.shape[0]) + 0.5) / heights.shape[0] * box.height
        if min(heights.shape) > 1 and heights.min() < level < heights.max():
            self.axes.contour(x, y, heights, [level], colors="#00000080", linewidths=1.6, zorder=2)
            self.axes.contour(x, y, heights, [level], colors="#ffc861", linewidths=0.7, zorder=3)

    def outline(self, box: Box, strength: float) -> None:
        """A frame that is heavier and more opaque the greater `strength`, in 0..1."""
        shape = Rectangle(
            (box.left, box.top), box.width, box.height,
            fill=False, edgecolor=(*_unit(AMBER), strength), linewidth=0.4 + 1.4 * strength, zorder=4,
        )  # fmt: skip
        self.axes.add_patch(shape)

    def tag(self, left: float, top: float, text: str) -> None:
        """A small amber label that hangs in the corner of a box."""
        width = text_width(text, 6) + 4
        ground = Rectangle((left, top), width, 8, facecolor=_unit(AMBER), edgecolor="none", zorder=5)
        self.axes.add_patch(ground)
        self.text(left + 2, top + 6.2, text, 6)

    def bar(self, box: Box, share: float, strong: bool) -> None:
        """A level meter: `share`, in 0..1, of the box filled."""
        for width, colour in ((box.width, PALE), (box.width * share, _unit(AMBER) if strong else RULE)):
            shape = Rectangle((box.left, box.top), width, box.height, facecolor=colour, edgecolor="none", zorder=4)
            self.axes.add_patch(shape)

    def text(
        self,
        left: float,
        baseline: float,
        text: str,
        size: float,
        colour: str = INK,
        align: Literal["left", "center", "right"] = "left",
        weight: str = "normal",
        halo: bool = False,
    ) -> None:
        """Text as it is: a dollar sign starts no formula. A white halo keeps it legible where lines cross it."""
        style = {"size": size, "color": colour, "weight": weight, "family": FONT}
        around = [withStroke(linewidth=2.2, foreground="white")] if halo else None
        self.axes.text(
            left, baseline, text, style, ha=align, va="baseline", parse_math=False, zorder=6, path_effects=around
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        colour: str = QUIET,
        width: float = 0.6,
        dashed: bool = False,
    ) -> None:
        """A straight line below points and text."""
        style = (0, (4, 3)) if dashed else "solid"
        self.axes.plot([start[0], end[0]], [start[1], end[1]], color=colour, linewidth=width, linestyle=style, zorder=2)

    def curve(self, points: Sequence[tuple[float, float]], colour: str = INK, width: float = 1.2) -> None:
        """A line through points, above other lines and below text."""
        x, y = zip(*points, strict=True)
        self.axes.plot(x, y, color=colour, linewidth=width, solid_joinstyle="round", zorder=4)

    def cell(self, box: Box, share: float, framed: bool = False) -> None:
        """A field of a table: amber in proportion to `share`, in 0..1, and framed in ink where it is to stand out."""
        shape = Rectangle(
            (box.left, box.top), box.width, box.height,
            facecolor=(*_unit(AMBER), share), edgecolor=INK if framed else RULE, linewidth=0.7 if framed else 0.4,
            zorder=4 if framed else 3,
        )  # fmt: skip
        self.axes.add_patch(shape)

    def dot(self, x: float, y: float, radius: float) -> None:
        """An amber point."""
        self.axes.plot([x], [y], "o", ms=2 * radius, mfc=_unit(AMBER), mec=INK, mew=0.7, zorder=5)

    def chip(self, box: Box, share: float) -> None:
        """The ground of a word: amber in proportion to its share of the attention."""
        shape = FancyBboxPatch(
            (box.left, box.top), box.width, box.height, boxstyle="round,pad=0,rounding_size=3",
            facecolor=(*_unit(AMBER), share), edgecolor=RULE, linewidth=0.4, zorder=5,
        )  # fmt: skip
        self.axes.add_patch(shape)


def light_up(picture: UInt8[np.ndarray, "H W 3"], light: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture under an amber light: dim and nearly grey where `light` is 0, bright and warm where it is 1."""
    colours = picture.astype(np.float32)
    grey = colours @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    dark = DIM * (0.3 * colours + 0.7 * grey[..., None])
    warm = colours + 0.28 * (np.array(AMBER, dtype=np.float32) - 0.6 * colours)
    return (dark + light[..., None] * (warm - dark)).clip(0, 255).astype(np.uint8)


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG, PDF or SVG, as the suffix says; the file appears whole or not at all.

    Raises ConfigError for another suffix, DataError where the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    options: dict[str, dict[str, Any]] = {
        ".png": {"pil_kwargs": {"compress_level": 3}},  # half the time for 5 % more bytes
        ".pdf": {"metadata": {"CreationDate": None}},  # undated: the same figure gives the same file
        ".svg": {"metadata": {"Date": None}},
    }
    if suffix not in options:
        raise ConfigError(f"{path}: figures are written as {', '.join(options)}, not as {suffix or 'no suffix'!r}")
    with replacing(path) as draft, rc_context(_STYLE):
        figure.savefig(draft, format=suffix[1:], dpi=figure.dpi, **options[suffix])


def figure_to_image(figure: Figure) -> Image.Image:
    """The figure as an RGB picture at the figure's own resolution."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
