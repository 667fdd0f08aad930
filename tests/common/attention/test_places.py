"""Two ways to tell attention where a region lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.attention import Boxes, Grid
from common.attention.places import CORNER_DIM, centre_sinusoids, corner_features
from tests.common.attention import reference_self_attention as reference


@pytest.mark.parametrize("dim", [8, 5])
def test_sinusoids_are_those_of_the_centres(dim: int) -> None:
    views = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.0, 1.5, 1.0]]).double()
    places = centre_sinusoids(Grid(1, 2, views), dim)
    for index, centres in enumerate(([[0.25, 0.5], [0.75, 0.5]], [[0.0, 0.5], [1.0, 0.5]])):
        np.testing.assert_allclose(places[index], reference.places(np.array(centres), dim), rtol=0, atol=1e-6)


def test_corners_tell_all_cells_of_a_grid_apart_and_know_boxes() -> None:
    grid = Grid(14, 14, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    features = corner_features(grid)
    assert features.shape == (1, 196, CORNER_DIM)
    apart = torch.cdist(features[0], features[0]) + torch.eye(196)
    assert apart.min() > 0.5
    torch.testing.assert_close(features, corner_features(Boxes(grid.rectangles())))


def test_corners_tell_boxes_of_one_centre_apart_and_sinusoids_do_not() -> None:
    boxes = Boxes(torch.tensor([[[0.4, 0.4, 0.6, 0.6], [0.2, 0.3, 0.8, 0.7]]]))
    small, large = corner_features(boxes)[0]
    assert (small - large).norm() > 0.5
    torch.testing.assert_close(*centre_sinusoids(boxes, 8)[0])
