from __future__ import annotations

import random
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from common.data.records import VQARecord
from vqa.figures import draw_confidence, draw_confusions
from vqa.insight import confusions

POOLS = {"yes/no": ["yes", "no"], "other": ["black and white", "tennis racket", *(f"thing {n}" for n in range(12))]}


def texts_on_the_page(figure: Figure) -> list[str]:
    """All texts of the figure, none of which may stick out."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = Bbox.from_bounds(0, 0, *(figure.get_size_inches() * figure.dpi))
    for text in figure.axes[0].texts:
        place = text.get_window_extent(renderer)
        assert page.x0 <= place.x0, text.get_text()
        assert place.x1 <= page.x1, text.get_text()
        assert page.y0 <= place.y0, text.get_text()
        assert place.y1 <= page.y1, text.get_text()
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("count", [1, 7, 900])
def test_confidence_is_drawn_with_its_errors(count: int) -> None:
    draw = random.Random(count)
    confidences = [draw.random() for _ in range(count)]
    scores = [float(draw.random() < confidence) for confidence in confidences]
    told = texts_on_the_page(draw_confidence(confidences, scores))
    assert any(text.startswith("calibration error") and f"{count:,} answers" in text for text in told)
    assert any(text.startswith("AURC ") for text in told)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_model_that_is_always_right_or_never_can_be_drawn(score: float) -> None:
    assert f"all answers: {100 * score:.1f}" in texts_on_the_page(draw_confidence([0.5, 0.6], [score, score]))


def test_confusions_are_tables_of_shares_by_type() -> None:
    draw = random.Random(0)
    records, answers = [], {}
    for number in range(300):
        kind = draw.choice(list(POOLS))
        truth = draw.choice(POOLS[kind])
        records.append(VQARecord(Path("x.png"), 1, "what?", number, (truth,) * 10, (kind,)))
        answers[number] = truth if number % 2 else draw.choice(POOLS[kind])
    told = texts_on_the_page(draw_confusions(confusions(answers, records)))
    assert {"yes/no", "other", "others", "true answer"} <= set(told)
    assert sum(text.endswith("answered as most annotators do") for text in told) == 2
