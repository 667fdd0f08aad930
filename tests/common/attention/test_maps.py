from __future__ import annotations

import pytest
import torch

from common.attention import AttentionMap, Boxes, Grid, Words


def test_select_takes_one_picture_out_of_a_grid() -> None:
    views = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.0, 1.5, 1.0]])
    grid = Grid(2, 3, views).select(1)
    assert (grid.height, grid.width) == (2, 3)
    assert torch.equal(grid.view, views[1])


def test_select_takes_one_picture_out_of_boxes() -> None:
    corners = torch.rand(3, 5, 4)
    assert torch.equal(Boxes(corners).select(2).corners, corners[2])


def test_the_cells_of_a_grid_lie_row_by_row_in_its_view() -> None:
    whole, padded = Grid(2, 2, torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.0, 1.5, 1.0]])).rectangles()
    assert whole.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    assert padded.tolist() == [[-0.5, 0, 0.5, 0.5], [0.5, 0, 1.5, 0.5], [-0.5, 0.5, 0.5, 1], [0.5, 0.5, 1.5, 1]]
    wide = Grid(1, 4, torch.tensor([0.0, 0.0, 1.0, 1.0])).rectangles()
    assert wide.tolist() == [[0, 0, 0.25, 1], [0.25, 0, 0.5, 1], [0.5, 0, 0.75, 1], [0.75, 0, 1, 1]]


def test_every_axis_of_a_map_has_a_name() -> None:
    with pytest.raises(ValueError, match=r"1 axis names .* shape \(2, 3\)"):
        AttentionMap(torch.ones(2, 3), ("region",), Words(("a", "b", "c")), "soft")


def test_every_query_of_a_map_has_a_label_or_none_has() -> None:
    layout = Words(("a", "b", "c"))
    assert AttentionMap(torch.ones(2, 3), ("word", "region"), layout, "soft").query_labels == ()
    with pytest.raises(ValueError, match="1 query labels for 2 queries"):
        AttentionMap(torch.ones(2, 3), ("word", "region"), layout, "soft", query_labels=("one",))


def test_a_map_without_queries_has_no_query_labels() -> None:
    with pytest.raises(ValueError, match="1 query labels for 0 queries"):
        AttentionMap(torch.ones(3), ("region",), Words(("a", "b", "c")), "soft", query_labels=("one",))
