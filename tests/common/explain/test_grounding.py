"""Grounding scores by hand, and against a rule-by-rule count over all pixels."""

import math

import numpy as np
import pytest
import torch

from common.attention.maps import Boxes, Grid
from common.data.records import NamedBox
from common.explain.grounding import (
    PointingGame,
    area_fraction,
    attention_correctness,
    entropy,
    inside,
    object_mentions,
    pointing_hit,
)

GRID = Grid(4, 4, torch.tensor([0.0, 0.0, 1.0, 1.0]))
LEFT = NamedBox((0.0, 0.0, 0.5, 1.0), "left half")
CORNER = NamedBox((0.75, 0.75, 1.0, 1.0), "corner")


def at(row: int, column: int) -> torch.Tensor:
    weights = torch.zeros(4, 4)
    weights[row, column] = 1
    return weights.flatten()


def test_the_peak_hits_inside_a_box_and_misses_outside() -> None:
    assert pointing_hit(at(1, 1), GRID, [LEFT], (80, 40)) == 1
    assert pointing_hit(at(1, 2), GRID, [LEFT], (80, 40)) == 0
    assert pointing_hit(at(3, 3), GRID, [LEFT, CORNER], (80, 40)) == 1


def test_tolerance_is_strict_in_squared_pixels_and_zero_means_inside() -> None:
    box = NamedBox((0.0, 0.0, 0.5, 0.5), "a")  # 0..50 of 100 pixels
    x, y = np.array([50.0, 53.0, 53.0]), np.array([50.0, 50.0, 54.0])  # at distances 0, 3, 5
    assert inside(x, y, [box], (100, 100)).tolist() == [True, False, False]
    assert inside(x, y, [box], (100, 100), tolerance=3).tolist() == [True, False, False]
    assert inside(x, y, [box], (100, 100), tolerance=5).tolist() == [True, True, False]
    assert inside(x, y, [box], (100, 100), tolerance=5.01).tolist() == [True, True, True]


def test_tied_peaks_share_the_hit_so_that_a_flat_map_scores_chance() -> None:
    assert pointing_hit(torch.full((16,), 1 / 16), GRID, [LEFT], (80, 40)) == 0.5
    assert pointing_hit((at(0, 0) + at(3, 3)) / 2, GRID, [CORNER], (80, 40)) == 0.5


def test_overlapping_boxes_count_their_area_once() -> None:
    overlapping = NamedBox((0.25, 0.0, 0.75, 1.0), "middle")
    assert area_fraction([LEFT, overlapping], (80, 40)) == 0.75
    assert area_fraction([CORNER], (80, 40)) == 1 / 16
    assert area_fraction([CORNER], (80, 40), tolerance=1000) == 1


def test_correctness_is_the_share_of_mass_in_the_boxes_and_area_for_an_even_map() -> None:
    assert attention_correctness(torch.ones(16), GRID, [CORNER], (80, 40)) == pytest.approx(1 / 16)
    assert attention_correctness(at(1, 0), GRID, [LEFT], (80, 40)) == pytest.approx(1)
    halves = Boxes(torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]]))
    assert attention_correctness(torch.tensor([0.3, 0.7]), halves, [LEFT], (10, 10)) == pytest.approx(0.3)
    assert attention_correctness(torch.zeros(16), GRID, [LEFT], (80, 40)) == 0


def test_correctness_ignores_what_falls_outside_the_picture() -> None:
    padded = Grid(4, 4, torch.tensor([0.0, -0.5, 1.0, 1.5]))  # rows 0 and 3 see padding only
    weights = at(1, 0) + 5 * at(0, 3)
    inner = attention_correctness(at(1, 0), padded, [LEFT], (80, 40))
    assert attention_correctness(weights, padded, [LEFT], (80, 40)) < inner == pytest.approx(1)


def test_entropy_is_that_of_the_scaled_weights() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert entropy(weights).tolist() == pytest.approx([0, math.log(4), math.log(2), 0])


RED, GREEN, SMALL = (
    NamedBox((0.0, 0.0, 0.1, 0.1), "cube", ("red", "large")),
    NamedBox((0.5, 0.5, 0.6, 0.6), "cube", ("green", "large")),
    NamedBox((0.2, 0.2, 0.3, 0.3), "cross", ("red", "small")),
)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red cube left of a cross", [(2, (RED,)), (6, (SMALL,))]),
        ("a cube", [(1, (RED, GREEN))]),
        ("two large cubes and crosses", [(2, (RED, GREEN)), (4, (SMALL,))]),
        ("a large green cube", [(3, (GREEN,))]),
        ("a small green cube", [(3, ())]),  # no cube is small: misnamed
        ("red and a cube", [(3, (RED, GREEN))]),  # the run of attributes is broken
        ("red", []),
        ("a blue ball on a blue cube", [(6, (RED, GREEN))]),  # words unknown here say nothing
        ("", []),
    ],
)
def test_mentions_mean_the_boxes_that_have_the_name_and_all_attributes(
    caption: str, expected: list[tuple[int, tuple[NamedBox, ...]]]
) -> None:
    assert object_mentions(caption.split(), [RED, GREEN, SMALL]) == expected


def test_words_of_the_data_set_that_the_picture_lacks_are_misnamed() -> None:
    mentions = object_mentions(["a", "ball", "and", "a", "blue", "cube"], [RED], names=["ball"], attributes=["blue"])
    assert mentions == [(1, ()), (5, ())]


def test_the_pointing_game_averages_maps_and_baselines() -> None:
    game = PointingGame()
    game.add(at(0, 0), GRID, [LEFT], (80, 40))
    game.add(at(0, 0), GRID, [CORNER], (80, 40))
    result = game.result()
    assert result["n"] == 2
    assert result["pointing"] == 0.5
    assert result["centre"] == 0.5  # on the edge of the left half, which belongs to it
    assert result["uniform"] == result["area"] == pytest.approx((1 / 2 + 1 / 16) / 2)
    assert result["correctness"] == pytest.approx(0.5)
    assert result["entropy"] == result["spread"] == 0


def test_a_report_says_how_wide_the_maps_are() -> None:
    game = PointingGame()
    game.add(torch.full((16,), 1 / 16), GRID, [LEFT], (80, 40))
    game.add((at(0, 0) + at(3, 3)) / 2, GRID, [LEFT], (80, 40))
    game.add(torch.ones(1), Boxes(torch.tensor([[0.0, 0.0, 1.0, 1.0]])), [LEFT], (80, 40))
    report = game.report()
    assert report["attention entropy, nats"] == pytest.approx((math.log(16) + math.log(2)) / 3)
    assert report["attention entropy, % of uniform"] == pytest.approx(100 * (1 + 1 / 4 + 0) / 3)


def test_an_empty_pointing_game_has_no_scores_and_a_map_without_target_is_refused() -> None:
    game = PointingGame()
    assert game.result() == game.report() == {}
    with pytest.raises(ValueError, match="misnamed"):
        game.add(at(0, 0), GRID, [], (80, 40))


def test_pointing_at_random_scores_the_uniform_baseline() -> None:
    fine = Grid(40, 40, GRID.view)
    game = PointingGame(tolerance=4)
    box = NamedBox((0.2, 0.3, 0.5, 0.9), "box")
    for cell in torch.randint(1600, (600,)).tolist():
        game.add(torch.nn.functional.one_hot(torch.tensor(cell), 1600).float(), fine, [box], (64, 64))
    assert game.result()["pointing"] == pytest.approx(game.result()["uniform"], abs=0.06)
