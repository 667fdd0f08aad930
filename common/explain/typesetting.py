"""Setting type: how wide a text is, and where its lines break, in points and without a renderer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

FONT = "DejaVu Sans"  # comes with matplotlib, so that a figure is the same everywhere
warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it is drawn as a box, which says so without 20 lines


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """In points, the same for every output format."""
    font = FontProperties(family=FONT, size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def fitting_size(text: str, size: float, room: float) -> float:
    """The size at which the text is no wider than `room` points: `size`, or smaller."""
    return size * min(1.0, room / max(text_width(text, size), 1e-6))


def wrap(widths: Sequence[float], limit: float, space: float) -> list[list[int]]:
    """Break items of these widths into lines no wider than `limit`: the indices in each line (one at the least)."""
    lines: list[list[int]] = []
    used = 0.0
    for index, width in enumerate(widths):
        if lines and used + space + width <= limit:
            lines[-1].append(index)
            used += space + width
        else:
            lines.append([index])
            used = width
    return lines


def wrap_text(text: str, limit: float, size: float) -> list[str]:
    """Break a text into lines no wider than `limit` points, at its spaces."""
    words = text.split()
    lines = wrap([text_width(word, size) for word in words], limit, text_width(" ", size))
    return [" ".join(words[index] for index in line) for line in lines]
