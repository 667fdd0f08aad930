"""Overlays light the right pixels, in every format, for every map a model may hand back."""

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from common.attention.maps import AttentionMap, Boxes, Grid, Words
from common.data.records import Prediction
from common.errors import ConfigError, DataError
from common.explain.canvas import figure_to_image, light_up, save_figure
from common.explain.overlays import draw_answer, draw_caption, draw_parts, map_rows
from common.explain.typesetting import fitting_size, text_width, wrap, wrap_text

PICTURE = Image.new("RGB", (120, 80), (120, 150, 180))
QUESTION = "what is left of the red cube"


def grid(side: int = 7, view: tuple[float, ...] = (0, 0, 1, 1)) -> Grid:
    return Grid(side, side, torch.tensor(view, dtype=torch.float32))


def caption(text: str, layout: Grid | Boxes | None = None, weights: torch.Tensor | None = None) -> Prediction:
    words = tuple(text.split())
    layout = layout or grid()
    if weights is None:
        weights = torch.softmax(torch.randn(len(words), 49), -1)
    attention = AttentionMap(weights, ("word", "region"), layout, "soft", words)
    return Prediction(text, -3.0, token_log_probs=(math.log(0.25),) * (len(words) + 1), maps={"caption": attention})


def answer(levels: tuple[str, ...] = ("word", "phrase", "question"), drop: str = "") -> Prediction:
    words = tuple(QUESTION.split())
    maps = {
        "image": AttentionMap(torch.rand(len(levels), 49), ("level", "region"), grid(), "parallel", levels),
        "question": AttentionMap(
            torch.rand(len(levels), len(words)), ("level", "word"), Words(words), "parallel", levels
        ),
    }
    maps.pop(drop, None)
    return Prediction("sphere", 0.7, (Prediction("cube", 0.2), Prediction("cone", 0.1)), maps=maps)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_figures_are_written_in_each_format_without_leftovers(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure{suffix}"
    for _ in range(2):  # over itself as well
        save_figure(draw_caption(PICTURE, caption("a red cube")), path)
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix.lower()]
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_figure_gives_the_same_file(tmp_path: Path) -> None:
    prediction = caption("a red cube")
    for suffix in (".png", ".pdf", ".svg"):
        first, second = (tmp_path / f"{name}{suffix}" for name in "ab")
        save_figure(draw_caption(PICTURE, prediction), first)
        save_figure(draw_caption(PICTURE, prediction), second)
        assert first.read_bytes() == second.read_bytes()


def test_another_suffix_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.jpeg: figures are written as \.png, \.pdf, \.svg, not as '\.jpeg'"):
        save_figure(draw_caption(PICTURE, caption("a")), tmp_path / "x.jpeg")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def full_disk(self: Figure, file: Path, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(DataError, match=r"cannot write .*figure\.png: No space left on device"):
        save_figure(draw_caption(PICTURE, caption("a")), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_each_word_has_its_panel_with_its_probability() -> None:
    shown = texts(draw_caption(PICTURE, caption("a red cube")))
    assert shown == ["a red cube", "a", "0.25", "red", "0.25", "cube", "0.25"]


@pytest.mark.parametrize("words", [0, 1, 2, 11, 14, 15, 23, 40])
def test_panels_of_short_and_long_captions_do_not_overlap_and_stay_on_the_page(words: int) -> None:
    figure = draw_caption(PICTURE, caption(" ".join(["word"] * words)), dpi=30)
    axes = figure.axes[0]
    extents = [image.get_extent() for image in axes.images]  # left, right, bottom, top
    assert len(extents) == words + 1
    for index, (left, right, bottom, top) in enumerate(extents):
        assert axes.get_xlim()[0] <= left < right <= axes.get_xlim()[1]
        assert axes.get_ylim()[1] <= top < bottom <= axes.get_ylim()[0]
        assert (right - left) / (bottom - top) == pytest.approx(1.5)  # the picture's aspect
        others = extents[:index]
        assert all(left >= b or right <= a or top >= c or bottom <= d for a, b, c, d in others)


@pytest.mark.parametrize("view", [(0, 0, 1, 1), (0, -0.25, 1, 1.25)])
def test_the_lit_pixel_is_the_one_looked_at(view: tuple[float, ...]) -> None:
    weights = torch.zeros(1, 49)
    weights[0, 2 * 7 + 5] = 1  # row 2, column 5
    plain, lit = pictures(draw_caption(PICTURE, caption("cube", grid(7, view), weights)))
    assert plain.std(axis=(0, 1)).max() == 0
    height, width = lit.shape[:2]
    row, column = np.unravel_index(lit[..., 0].astype(int).argmax(), (height, width))
    x0, y0, x1, y1 = view
    assert (column + 0.5) / width == pytest.approx(x0 + (x1 - x0) * 5.5 / 7, abs=1 / 40)
    assert (row + 0.5) / height == pytest.approx(y0 + (y1 - y0) * 2.5 / 7, abs=1 / 40)


def test_panels_keep_the_pictures_resolution() -> None:
    big = Image.effect_noise((300, 200), 50).convert("RGB")
    assert [picture.shape for picture in pictures(draw_caption(big, caption("a cube")))] == [(200, 300, 3)] * 3


def test_light_dims_and_greys_what_is_not_looked_at_and_warms_what_is() -> None:
    blue = np.full((1, 2, 3), (40, 90, 200), np.uint8)
    dark, warm = light_up(blue, np.array([[0, 1]], np.float32)).astype(int)[0]
    assert dark.sum() < 0.5 * blue[0, 0].sum() < warm.sum()
    assert dark.max() - dark.min() < 0.2 * (200 - 40)
    assert warm[0] > 40
    assert warm[2] < 200


def test_signs_that_the_font_lacks_are_drawn_without_a_flood_of_warnings() -> None:
    command = "from common.explain.typesetting import text_width; assert text_width('日本', 9) > 0"
    done = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_dollars_and_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    text = r"$5 & <b> \frac{1}{2} $_$"
    figure = draw_caption(PICTURE, caption(text))
    assert texts(figure)[0] == text
    save_figure(figure, tmp_path / "a.svg")
    figure_to_image(draw_answer(PICTURE, text, answer(), truth=text))


def test_boxes_are_outlined_by_their_weight_and_the_greatest_is_labelled() -> None:
    corners = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]])
    figure = draw_caption(PICTURE, caption("cube", Boxes(corners), torch.tensor([[0.6, 0.36, 0.04]])))
    outlines = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    assert len(outlines) == 2  # the third has next to nothing
    assert outlines[0].get_linewidth() > outlines[1].get_linewidth()
    panel = figure.axes[0].images[1].get_extent()
    assert outlines[0].get_x() == pytest.approx(panel[0] + 0.1 * (panel[1] - panel[0]))
    assert "0.60" in texts(figure)


def test_every_level_shows_the_question_and_its_picture() -> None:
    figure = draw_answer(PICTURE, QUESTION, answer(), truth="sphere")
    shown = texts(figure)
    assert [shown.count(name) for name in ("picture", "word", "phrase", "question")] == [1, 1, 1, 1]
    assert shown.count("cube") == 3 + 1  # once in each level's question, once among the answers
    assert "✓ right" in shown
    assert len(pictures(figure)) == 4
    assert {"0.70", "0.20", "0.10"} <= set(shown)


def test_a_wrong_answer_is_shown_beside_the_truth() -> None:
    assert "✗ truth: cone" in texts(draw_answer(PICTURE, QUESTION, answer(), truth="cone"))


def test_a_word_is_shaded_by_its_share_of_the_greatest() -> None:
    prediction = answer(("word",), drop="image")
    weights = torch.tensor([[0.1, 0.2, 0.4, 0.0, 0.1, 0.1, 0.1]])
    maps = {"question": AttentionMap(weights, ("level", "word"), Words(tuple(QUESTION.split())), "soft", ("word",))}
    figure = draw_answer(PICTURE, QUESTION, Prediction(prediction.text, 0.7, maps=maps))
    chips = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "FancyBboxPatch"]
    assert [chip.get_facecolor()[3] for chip in chips] == pytest.approx([0.25, 0.5, 1, 0, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("drop", ["image", "question"])
@pytest.mark.parametrize("levels", [("only",), ("hop 1", "hop 2"), tuple(f"hop {n}" for n in range(1, 10))])
def test_any_number_of_levels_and_either_map_alone_can_be_drawn(levels: tuple[str, ...], drop: str) -> None:
    figure = draw_answer(PICTURE, QUESTION, answer(levels, drop), dpi=30)
    assert set(levels) <= set(texts(figure))
    assert len(pictures(figure)) == 1 + len(levels)


def test_a_prediction_without_maps_is_still_a_figure() -> None:
    assert len(pictures(draw_answer(PICTURE, QUESTION, Prediction("sphere", 0.7)))) == 1
    assert len(pictures(draw_caption(PICTURE, Prediction("", 0.0)))) == 1


def test_an_image_map_over_words_is_refused() -> None:
    wrong = AttentionMap(torch.rand(1, 2), ("word", "region"), Words(("a", "b")), "soft", ("a",))
    with pytest.raises(ValueError, match="over words"):
        draw_caption(PICTURE, Prediction("a", 0.0, maps={"caption": wrong}))


def test_heads_in_front_are_averaged_and_rows_without_labels_are_numbered() -> None:
    weights = torch.rand(3, 2, 49)
    rows = map_rows(AttentionMap(weights, ("head", "level", "region"), grid(), "soft"))
    assert [name for name, _ in rows] == ["level 1", "level 2"]
    torch.testing.assert_close(rows[1][1], weights[:, 1].mean(0))
    (name, row), *_ = map_rows(AttentionMap(weights[0, 0], ("region",), grid(), "hard"))
    assert (name, row.shape) == ("hard", (49,))


def test_pictures_of_any_mode_and_of_extreme_aspect_are_drawn() -> None:
    for size, mode in (((600, 20), "RGB"), ((12, 400), "L"), ((30, 30), "RGBA"), ((1, 1), "P"), ((9000, 9), "L")):
        figure_to_image(draw_caption(Image.new(mode, size), caption("a cube"), dpi=40))
        figure_to_image(draw_answer(Image.new(mode, size), QUESTION, answer(), dpi=40))


@pytest.mark.parametrize("size", [(1, 60_000), (2, 60_000), (60_000, 1), (60_000, 2)])
def test_a_hair_of_a_picture_still_gives_a_page_that_can_be_looked_at(size: tuple[int, int]) -> None:
    for figure in (
        draw_caption(Image.linear_gradient("L").resize(size), caption("a cube"), dpi=40),
        draw_answer(Image.linear_gradient("L").resize(size), QUESTION, answer(), dpi=40),
    ):
        page = figure_to_image(figure)
        assert max(page.size) < 2500
        assert min(page.size) > 20


def test_the_light_form_is_smaller_and_quick() -> None:
    prediction = caption("a small red cube stands left of a sphere")
    figure_to_image(draw_caption(PICTURE, prediction, dpi=80))  # fonts are loaded once
    start = time.perf_counter()
    image = figure_to_image(draw_caption(PICTURE, prediction, dpi=80))
    assert time.perf_counter() - start < 1.5  # 0.12 s on an idle core
    assert image.mode == "RGB"
    assert image.width <= 800


def test_lines_break_where_the_width_ends() -> None:
    assert wrap([3, 3, 3, 20, 1], limit=10, space=1) == [[0, 1], [2], [3], [4]]
    assert wrap([], limit=10, space=1) == []
    lines = wrap_text("the quick brown fox jumps over the lazy dog", 60, 10)
    assert " ".join(lines) == "the quick brown fox jumps over the lazy dog"
    assert all(text_width(line, 10) <= 61 for line in lines)
    assert text_width("skateboarding", fitting_size("skateboarding", 10, 30)) == pytest.approx(30, rel=0.05)
    assert fitting_size("a", 10, 30) == 10


def parts(weights: torch.Tensor, words: tuple[str, ...]) -> AttentionMap:
    return AttentionMap(weights, ("head", "word", "region"), grid(), "multi-head", words)


def test_each_part_is_a_row_of_the_picture_lit_where_it_looked() -> None:
    weights = torch.zeros(2, 1, 49)
    weights[0, 0, 0] = weights[1, 0, 48] = 1  # the upper left corner, and the lower right one
    figure = draw_parts(PICTURE, parts(weights, ("dog",)))
    assert texts(figure) == ["dog", "head 1", "head 2"]
    first, second = (picture.mean(-1) for picture in pictures(figure))
    assert first[2, 2] > 2 * first[-3, -3]
    assert second[-3, -3] > 2 * second[2, 2]


def test_a_long_caption_goes_on_below_with_its_parts() -> None:
    words = tuple(f"w{number}" for number in range(13))
    figure = draw_parts(PICTURE, parts(torch.rand(3, 13, 49), words))
    assert len(pictures(figure)) == 39
    assert [text for text in texts(figure) if text.startswith("w")] == list(words)
    assert texts(figure).count("head 2") == 2


def test_of_many_parts_those_that_differ_most_are_shown_in_order() -> None:
    weights = torch.full((40, 2, 49), 1 / 49)
    for part in (3, 17, 30):
        weights[part] = torch.eye(49)[part]
    shown = [text for text in texts(draw_parts(PICTURE, parts(weights, ("a", "dog")))) if text.startswith("head")]
    assert len(shown) == 8
    assert {"head 4", "head 18", "head 31"} <= set(shown)
    assert shown == sorted(shown, key=lambda name: int(name.split()[1]))


def test_a_map_without_parts_is_no_picture_of_parts() -> None:
    with pytest.raises(ValueError, match="part, query, region"):
        draw_parts(PICTURE, AttentionMap(torch.rand(2, 49), ("word", "region"), grid(), "soft"))
