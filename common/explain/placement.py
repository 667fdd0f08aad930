"""Where attention lies on the original picture: maps laid over its pixels, and the points they peak at."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from common.attention.maps import Boxes, Grid


def place_map(
    weights: Float[Tensor, "*axes R"], layout: Grid | Boxes, picture_size: tuple[int, int], smooth: bool = False
) -> Float[np.ndarray, "*axes H W"]:
    """Lay region weights over the pixels of the original picture, by the true geometry of the regions.

    A grid's weights stand at the centres of its cells and are interpolated between them: bilinearly, or with cubic
    B-splines where `smooth`, which blurs by about half a cell and hides the lattice from the eye. Beyond the outermost
    centres the map goes on level. A pixel under boxes gets the sum of their weights.

    picture_size: (width, height) in pixels.
    """
    values = weights.detach().cpu().float().numpy()
    width, height = picture_size
    if isinstance(layout, Boxes):
        columns, rows = (_coverage(layout, axis, pixels) for axis, pixels in enumerate(picture_size))
        return np.einsum("...r,rh,rw->...hw", values, rows, columns, optimize=True)
    x0, y0, x1, y1 = layout.view.tolist()
    cells = values.reshape(*values.shape[:-1], layout.height, layout.width)
    rows = _interpolation(height, layout.height, (y0, y1), smooth)  # [H, grid height]
    columns = _interpolation(width, layout.width, (x0, x1), smooth)  # [W, grid width]
    return rows @ cells @ columns.T


def peaks(
    weights: Float[Tensor, " R"], layout: Grid | Boxes, picture_size: tuple[int, int]
) -> Float[np.ndarray, "peaks 2"]:
    """The points (x, y), in pixels of the picture, where attention is greatest; more than one where regions tie.

    For a grid these are the maxima of the bilinearly interpolated map, found without interpolating: between four cell
    centres the map is a convex combination of their weights, so that no point exceeds the greatest cell's centre.
    A centre in the padding counts as the nearest point of the picture. For boxes: the centre of the greatest one.
    """
    corners = layout.rectangles()[weights == weights.max()].cpu().double()
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return centres.clamp(0, 1).numpy() * np.asarray(picture_size)


@lru_cache(maxsize=64)  # pictures of one size and view follow one another
def _interpolation(pixels: int, cells: int, view: tuple[float, float], smooth: bool) -> NDArray[np.float32]:
    """How much each cell along one side of the grid gives to each pixel: [pixels cells], rows sum to 1."""
    start, end = view
    position = (_pixel_centres(pixels) - start) / (end - start) * cells - 0.5  # in cells, 0 at the first cell's centre
    position = position.clip(-0.5, cells - 0.5)  # a grid that lies a little aslant ends within the picture
    distance = np.abs(position[:, None] - np.arange(cells))
    kernel = _cubic_spline(distance) if smooth else (1 - distance).clip(min=0)
    kernel /= kernel.sum(1, keepdims=True)
    parts = kernel.astype(np.float32)
    parts.flags.writeable = False  # it is shared by all callers
    return parts


def _cubic_spline(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = 2 / 3 - distance**2 + distance**3 / 2
    return np.where(distance < 1, near, (2 - distance).clip(min=0) ** 3 / 6)


def _coverage(layout: Boxes, axis: int, pixels: int) -> NDArray[np.float32]:
    """1 where a pixel's centre is in the box along one axis (0: x, 1: y), else 0: [R pixels]."""
    corners = layout.corners.cpu().double().numpy()
    centres = _pixel_centres(pixels)
    return ((centres >= corners[:, axis, None]) & (centres < corners[:, axis + 2, None])).astype(np.float32)


def _pixel_centres(pixels: int) -> NDArray[np.float64]:
    """In fractions of the side."""
    return (np.arange(pixels) + 0.5) / pixels
