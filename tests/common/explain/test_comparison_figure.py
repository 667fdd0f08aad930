from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from common.explain.canvas import save_figure
from common.explain.comparison import Estimate, Row
from common.explain.comparison_figure import Axis, draw_comparison

NAMES = (
    "soft additive",
    "hard",
    "general score",
    "scaled dot product",
    "cosine",
    "sparsemax",
    "multi-head with eight heads",
    "area attention, 3 x 3",
    "self-attention, then soft",
    "two-level pooling",
    "local Gaussian window",
    "adaptive with a sentinel",
)
QUALITY = Axis("quality", "CIDEr-D")
GROUNDING = Axis("look", "pointing game, %", {"centre": "centre", "uniform": "uniform"})
BARS = [Axis("spread", "entropy, % of uniform", most=100.0), Axis("speed", "training, pictures/s")]


def crowd(seed: int, margins: bool) -> list[Row]:
    """Kinds that come out alike, so that their names are in each other's way."""
    draw = random.Random(seed)
    return [
        Row(
            name,
            {
                "quality": Estimate(draw.gauss(320, 9), draw.uniform(2, 9) if margins else None),
                "look": Estimate(draw.gauss(82, 3), draw.uniform(1, 3) if margins else None),
                "centre": Estimate(20.0),
                "uniform": Estimate(81.0),
                "spread": Estimate(draw.uniform(5, 95)),
                "speed": Estimate(draw.uniform(50, 200)),
            },
        )
        for name in NAMES
    ]


def drawn(rows: list[Row]) -> tuple[Figure, list[tuple[str, Bbox]]]:
    """The figure, and each of its texts with where it stands, in pixels."""
    figure = draw_comparison(rows, QUALITY, GROUNDING, BARS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    return figure, [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]


@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_no_name_covers_another_and_all_are_on_the_page(seed: int, margins: bool) -> None:
    figure, texts = drawn(crowd(seed, margins))
    for (one, place), (other, there) in itertools.combinations(texts, 2):
        assert not place.overlaps(there.padded(-2)), (one, other)
    page = Bbox.from_bounds(0, 0, *(figure.get_size_inches() * figure.dpi))
    assert all(page.x0 <= place.x0 and place.x1 <= page.x1 for _, place in texts)
    assert all(page.y0 <= place.y0 and place.y1 <= page.y1 for _, place in texts)
    shown = [text for text, _ in texts]
    assert all(shown.count(name) == 2 for name in NAMES)  # beside its point, and before its bars


def test_baselines_are_told_and_drawn_where_they_are_in_reach() -> None:
    shown = [text for text, _ in drawn(crowd(0, False))[1]]
    assert "pointing game, % (centre 20.0, uniform 81.0)" in shown
    assert "uniform" in shown
    assert "centre" not in shown


def test_what_does_not_look_or_failed_has_a_line_and_no_point() -> None:
    blind = Row("question only", {"quality": Estimate(36.5), "speed": Estimate(900.0)})
    shown = [text for text, _ in drawn([*crowd(0, False), blind, Row("broken", {}, 0, "it diverged")])[1]]
    assert "looking at nothing: question only 36.5" in shown
    assert shown.count("broken") == shown.count("question only") == 1
    assert "failed" in shown


def test_without_grounding_there_are_lines_only() -> None:
    rows = [Row("soft", {"quality": Estimate(50.0), "speed": Estimate(3.25)}), Row("hard", {"quality": Estimate(40.0)})]
    shown = [text for text, _ in drawn(rows)[1]]
    assert not any(text.startswith("pointing game") for text in shown)
    assert {"soft", "50.0", "3.2", "hard", "40.0", "–"} <= set(shown)


@pytest.mark.parametrize("rows", [[Row("broken", {}, 0, "it diverged")], crowd(0, False)[:1]])
def test_one_kind_or_none_can_be_drawn(rows: list[Row]) -> None:
    assert [text for text, _ in drawn(rows)[1]]


def test_a_dollar_sign_in_a_name_is_no_formula_and_files_are_the_same_each_time(tmp_path: Path) -> None:
    rows = [Row("$x_{$ & <b>", each.estimates) for each in crowd(0, False)[:2]]
    for suffix in ("png", "pdf", "svg"):
        for name in ("one", "two"):
            save_figure(drawn(rows)[0], tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
