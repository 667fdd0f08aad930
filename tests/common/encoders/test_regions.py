from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from common.attention import Boxes, Grid, VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders import ImageEncoder, RegionEncoder, VisualEncoder
from common.errors import DataError

WHOLE = (0.0, 0.0, 1.0, 1.0)


class GivenMap(VisualEncoder):
    """A grid encoder whose map [D h w], the same for every picture, is given."""

    def __init__(self, feature_map: Tensor) -> None:
        super().__init__()
        self.dim = len(feature_map)
        self.preprocessing = Preprocessing((8, 8))
        self.map = nn.Parameter(feature_map)

    @property
    def frozen(self) -> bool:
        return not self.map.requires_grad

    def forward(self, images: ImageBatch) -> VisualFeatures:
        batch = len(images.pixels)
        values = self.map.flatten(1).T.expand(batch, -1, -1)
        return VisualFeatures(values, torch.ones(values.shape[:2]) > 0, Grid(*self.map.shape[1:], images.view))


def _batch(
    boxes: list[list[list[float]]], view: tuple[float, ...] = WHOLE, valid: list[list[bool]] | None = None
) -> ImageBatch:
    corners = torch.tensor(boxes)
    keep = torch.ones(corners.shape[:2], dtype=torch.bool) if valid is None else torch.tensor(valid)
    pixels = torch.zeros(len(boxes), 3, 8, 8, dtype=torch.uint8)
    return ImageBatch(pixels, torch.tensor(view).expand(len(boxes), 4), corners, keep)


def _linear_map(height: int, width: int, view: tuple[float, ...] = WHOLE) -> Tensor:
    """The map [2 h w] whose features are the cell centres' (x, y) in the picture."""
    x0, y0, x1, y1 = view
    x = x0 + (x1 - x0) * (torch.arange(width) + 0.5) / width
    y = y0 + (y1 - y0) * (torch.arange(height) + 0.5) / height
    return torch.stack([x.expand(height, width), y.unsqueeze(1).expand(height, width)])


def _roi_average(feature_map: NDArray[np.float64], box: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """The mean of 2 x 2 bilinear samples in each of bins x bins parts of a box [4] in cells; cell centres lie at .5."""
    _, height, width = feature_map.shape
    count = 2 * bins
    samples = []
    for i in range(count):
        for j in range(count):
            x = min(max(box[0] + (box[2] - box[0]) * (j + 0.5) / count - 0.5, 0), width - 1)
            y = min(max(box[1] + (box[3] - box[1]) * (i + 0.5) / count - 0.5, 0), height - 1)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            across, down = x - left, y - top
            samples.append(
                (1 - down) * ((1 - across) * feature_map[:, top, left] + across * feature_map[:, top, left + 1])
                + down * ((1 - across) * feature_map[:, top + 1, left] + across * feature_map[:, top + 1, left + 1])
            )
    return np.mean(samples, axis=0)


def test_a_box_of_whole_cells_is_their_average() -> None:
    feature_map = torch.randn(5, 6, 8)
    encoder = RegionEncoder(GivenMap(feature_map), bins=2)  # samples 4 x 4 points: the centres of 4 x 4 cells
    values = encoder(_batch([[[2 / 8, 1 / 6, 6 / 8, 5 / 6]]])).values
    torch.testing.assert_close(values[0, 0], feature_map[:, 1:5, 2:6].mean((1, 2)))


def test_the_box_of_the_whole_picture_is_the_average_of_all_cells() -> None:
    feature_map = torch.randn(5, 6, 6)
    values = RegionEncoder(GivenMap(feature_map), bins=3)(_batch([[list(WHOLE)]])).values
    torch.testing.assert_close(values[0, 0], feature_map.mean((1, 2)))


fractions = st.floats(0, 1, width=32)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(corners=st.tuples(fractions, fractions, fractions, fractions), bins=st.integers(1, 4))
def test_any_box_equals_the_loops_of_the_reference(corners: tuple[float, ...], bins: int) -> None:
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    feature_map = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    values = RegionEncoder(GivenMap(feature_map), bins=bins)(_batch([[[x0, y0, x1, y1]]])).values
    expected = _roi_average(feature_map.double().numpy(), np.array([x0, y0, x1, y1]) * [4, 5, 4, 5], bins)
    np.testing.assert_allclose(values[0, 0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("view", [WHOLE, (0.0, -0.5, 1.0, 1.5), (-0.25, 0.0, 1.25, 1.0)])
def test_boxes_lie_where_they_are_in_the_picture_however_it_was_padded(view: tuple[float, ...]) -> None:
    encoder = RegionEncoder(GivenMap(_linear_map(12, 10, view)))
    boxes = [[0.2, 0.3, 0.6, 0.5], [0.5, 0.1, 0.9, 0.8], [0.3, 0.3, 0.35, 0.32]]
    centres = [[(x0 + x1) / 2, (y0 + y1) / 2] for x0, y0, x1, y1 in boxes]
    torch.testing.assert_close(encoder(_batch([boxes], view)).values[0], torch.tensor(centres))


def test_each_picture_has_its_own_boxes_and_padding_boxes_are_zero() -> None:
    encoder = RegionEncoder(GivenMap(_linear_map(10, 10)), geometry=True)
    boxes = [[[0.2, 0.2, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]], [[0.6, 0.1, 0.8, 0.3], [0.0, 0.0, 0.0, 0.0]]]
    images = _batch(boxes, valid=[[True, True], [True, False]])
    features = encoder(images)
    assert encoder.dim == features.values.shape[-1] == 2 + 4
    torch.testing.assert_close(features.values[:, 0, :2], torch.tensor([[0.3, 0.3], [0.7, 0.2]]))
    torch.testing.assert_close(features.values[0, :, 2:], 4 * (torch.tensor(boxes[0]) - 0.5))
    assert not features.values[1, 1].any()
    assert isinstance(features.layout, Boxes)
    assert torch.equal(features.layout.corners, torch.tensor(boxes))
    assert features.keep.tolist() == [[True, True], [True, False]]


def test_gradients_reach_the_cells_under_the_box_and_no_others() -> None:
    grid = GivenMap(torch.randn(2, 8, 8))
    RegionEncoder(grid)(_batch([[[0.25, 0.5, 0.5, 0.75]]])).values.sum().backward()
    assert grid.map.grad is not None
    touched = grid.map.grad[0].nonzero()
    assert touched.min(0).values.tolist() == [3, 1]  # rows 4 and 5, columns 2 and 3, and bilinear neighbours
    assert touched.max(0).values.tolist() == [6, 4]


def test_it_works_on_a_network_in_any_precision() -> None:
    torch.manual_seed(0)
    encoder = RegionEncoder(ImageEncoder("test_resnet", image_size=(64, 64), stage=2)).eval()
    images = _batch([[[0.1, 0.2, 0.7, 0.9]]]).replace(pixels=torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    exact = encoder(images).values
    assert exact.shape == (1, 1, encoder.dim)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(encoder(images).values.float(), exact, rtol=0.1, atol=0.1)
    low = encoder.to(torch.bfloat16)(images).values
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, rtol=0.1, atol=0.1)


def test_what_the_grid_encoder_is_the_region_encoder_is() -> None:
    grid = GivenMap(torch.zeros(2, 4, 4))
    encoder = RegionEncoder(grid)
    assert encoder.preprocessing == grid.preprocessing
    assert encoder.needs_boxes
    assert not encoder.frozen
    grid.requires_grad_(False)
    assert encoder.frozen


def test_the_fingerprint_knows_how_boxes_are_sampled() -> None:
    torch.manual_seed(0)
    grid, located = (
        ImageEncoder("test_resnet", image_size=(64, 64)),
        ImageEncoder("test_resnet", image_size=(64, 64), geometry=True),
    )
    located.load_state_dict(grid.state_dict())
    encoders = [
        grid,
        RegionEncoder(grid),
        RegionEncoder(grid, bins=4),
        RegionEncoder(grid, geometry=True),
        RegionEncoder(located),
    ]
    assert len({encoder.fingerprint() for encoder in encoders}) == len(encoders)


def test_pictures_without_boxes_are_refused() -> None:
    images = _batch([[list(WHOLE)]]).replace(boxes=None, box_keep=None)
    with pytest.raises(DataError, match="RegionEncoder needs boxes"):
        RegionEncoder(GivenMap(torch.zeros(2, 4, 4)))(images)


def test_boxes_of_boxes_are_refused() -> None:
    inner = RegionEncoder(GivenMap(torch.zeros(2, 4, 4)))
    with pytest.raises(TypeError, match="pools a grid, RegionEncoder gives Boxes"):
        RegionEncoder(inner)(_batch([[list(WHOLE)]]))
