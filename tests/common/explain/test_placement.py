"""Maps lie on the picture where their regions are: against PyTorch's interpolation, and by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from common.attention.maps import Boxes, Grid
from common.explain.placement import peaks, place_map

WHOLE = torch.tensor([0.0, 0.0, 1.0, 1.0])
PICTURES = [(24, 24), (31, 18), (16, 45), (5, 3)]  # (width, height)


def padded_view(width: int, height: int) -> torch.Tensor:
    """The view of a picture that stands in the middle of a square."""
    across, down = max(height / width, 1) - 1, max(width / height, 1) - 1
    return torch.tensor([-across / 2, -down / 2, 1 + across / 2, 1 + down / 2])


@pytest.mark.parametrize("size", PICTURES)
def test_squashed_picture_gets_the_bilinear_interpolation_of_its_cells(size: tuple[int, int]) -> None:
    weights = torch.rand(4 * 6)
    expected = functional.interpolate(weights.view(1, 1, 4, 6), size[::-1], mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(place_map(weights, Grid(4, 6, WHOLE), size), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(30, 18), (16, 44)])
def test_padded_picture_gets_its_part_of_the_interpolated_square(size: tuple[int, int]) -> None:
    weights, side = torch.rand(7 * 7), max(size)
    square = functional.interpolate(weights.view(1, 1, 7, 7), (side, side), mode="bilinear", align_corners=False)[0, 0]
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    expected = square[top : top + size[1], left : left + size[0]]
    np.testing.assert_allclose(place_map(weights, Grid(7, 7, padded_view(*size)), size), expected, atol=1e-6)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("view", ["squashed", "padded"])
@pytest.mark.parametrize("size", [(70, 42), (42, 98)])
def test_one_cells_weight_peaks_at_the_pixel_of_its_true_centre(size: tuple[int, int], view: str, smooth: bool) -> None:
    grid = Grid(7, 7, WHOLE if view == "squashed" else padded_view(*size))
    weights = torch.zeros(49)
    weights[3 * 7 + 4] = 1  # row 3, column 4
    placed = place_map(weights, grid, size, smooth)
    x0, y0, x1, y1 = grid.view.tolist()
    centre = ((x0 + (x1 - x0) * 4.5 / 7) * size[0], (y0 + (y1 - y0) * 3.5 / 7) * size[1])
    rows, columns = np.nonzero(placed > placed.max() - 1e-6)
    assert columns.mean() + 0.5 == pytest.approx(centre[0], abs=0.5)
    assert rows.mean() + 0.5 == pytest.approx(centre[1], abs=0.5)


@pytest.mark.parametrize("smooth", [False, True])
def test_an_even_map_stays_even_up_to_the_edges(smooth: bool) -> None:
    np.testing.assert_allclose(place_map(torch.full((12,), 0.25), Grid(3, 4, WHOLE), (19, 11), smooth), 0.25, atol=1e-6)


def test_the_map_goes_on_level_where_a_shifted_grid_ends_within_the_picture() -> None:
    grid = Grid(1, 2, torch.tensor([-0.25, 0.0, 0.75, 1.0]))
    placed = place_map(torch.tensor([1.0, 3.0]), grid, (8, 1))
    # the cells' centres lie at 0 and 0.5 of the width, which are 0 and 4 pixels
    np.testing.assert_allclose(placed[0], [1.25, 1.75, 2.25, 2.75, 3, 3, 3, 3], atol=1e-6)


def test_axes_in_front_are_placed_one_by_one() -> None:
    weights, grid = torch.rand(2, 3, 12), Grid(3, 4, WHOLE)
    placed = place_map(weights, grid, (9, 8))
    assert placed.shape == (2, 3, 8, 9)
    np.testing.assert_allclose(placed[1, 2], place_map(weights[1, 2], grid, (9, 8)), atol=1e-6)


def test_pixels_get_the_sum_of_the_boxes_over_them() -> None:
    boxes = Boxes(torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    placed = place_map(torch.tensor([0.5, 0.25, 0.25]), boxes, (4, 2))
    np.testing.assert_allclose(placed, [[0.5, 0.5, 0, 0], [0.5, 0.75, 0.25, 0]])


@pytest.mark.parametrize("size", [(70, 42), (60, 90)])
def test_the_peak_is_where_the_interpolated_map_is_greatest(size: tuple[int, int]) -> None:
    grid = Grid(5, 5, padded_view(*size))
    for seed in range(20):
        weights = torch.rand(25, generator=torch.Generator().manual_seed(seed))
        weights.view(5, 5)[[0, -1]] = 0  # nothing in the padding
        weights.view(5, 5)[:, [0, -1]] = 0
        row, column = np.unravel_index(place_map(weights, grid, size).argmax(), size[::-1])
        assert peaks(weights, grid, size) == pytest.approx(np.array([[column + 0.5, row + 0.5]]), abs=1)


def test_a_peak_in_the_padding_counts_at_the_edge_of_the_picture() -> None:
    grid = Grid(2, 2, padded_view(100, 20))
    assert peaks(torch.tensor([0.1, 0.7, 0.1, 0.1]), grid, (100, 20)).tolist() == [[75.0, 0.0]]


def test_all_tied_peaks_are_given_and_boxes_peak_at_their_centres() -> None:
    assert len(peaks(torch.ones(6), Grid(2, 3, WHOLE), (9, 9))) == 6
    boxes = Boxes(torch.tensor([[0.0, 0.0, 0.1, 0.1], [0.2, 0.4, 0.6, 1.0]]))
    np.testing.assert_allclose(peaks(torch.tensor([0.3, 0.7]), boxes, (100, 10)), [[40, 7]], atol=1e-5)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_cell_spreads_evenly_to_both_sides(smooth: bool) -> None:
    weights = torch.zeros(49)
    weights[3 * 7 + 4] = 1
    across = place_map(weights, Grid(7, 7, WHOLE), (70, 42), smooth).sum(0)
    assert (across * (np.arange(70) + 0.5)).sum() / across.sum() == pytest.approx(45, abs=0.3)
