"""Boxes to regions: the grid's features inside each box, so that attention can work on boxes as on grid cells."""

from __future__ import annotations

import torch
from torchvision.ops import roi_align  # type: ignore[import-untyped]

from common.attention.maps import Boxes, Grid
from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.image import VisualEncoder, geometry_features
from common.errors import DataError


class RegionEncoder(VisualEncoder):
    """RoI-align of boxes on an image encoder's grid (He et al. 2017, section 3), averaged over `bins` x `bins` samples.

    Args:
        grid: the encoder of the whole picture.
        bins: how finely a box is sampled, in each direction.
        geometry: append each box's place (`geometry_features`).
    """

    needs_boxes = True
    wraps = "grid"

    def __init__(self, grid: VisualEncoder, bins: int = 3, geometry: bool = False) -> None:
        super().__init__()
        self.grid = grid
        self.bins = bins
        self.geometry = geometry
        self.dim = grid.dim + 4 * geometry

    @property
    def preprocessing(self) -> Preprocessing:  # type: ignore[override]  # an attribute in the base class
        """That of the grid's encoder."""
        return self.grid.preprocessing

    @property
    def frozen(self) -> bool:
        """True when the grid's encoder is."""
        return self.grid.frozen

    def extra_repr(self) -> str:
        """What tells apart two encoders of the same weights."""
        return f"bins={self.bins}, geometry={self.geometry}, grid=({self.grid.extra_repr()})"

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D] of the boxes [B R 4] of pictures [B 3 H W].

        Raises:
            DataError: the batch has no boxes.
        """
        if images.boxes is None or images.box_keep is None:
            raise DataError("RegionEncoder needs boxes, which these records lack; use ImageEncoder, or give boxes")
        features = self.grid(images)
        layout = features.layout
        if not isinstance(layout, Grid):
            raise TypeError(f"RegionEncoder pools a grid, {type(self.grid).__name__} gives {type(layout).__name__}")
        batch, regions = images.box_keep.shape
        feature_map = features.values.transpose(1, 2).unflatten(2, (layout.height, layout.width))  # [B D h w]
        origin, end = layout.view[:, None, [0, 1, 0, 1]], layout.view[:, None, [2, 3, 2, 3]]
        scale = origin.new_tensor([layout.width, layout.height, layout.width, layout.height])
        cells = (images.boxes - origin) / (end - origin) * scale  # [B R 4] in cells of the grid
        # in float32: in bfloat16 a box would be placed to a sixteenth of a cell, and the CPU has no such kernel
        pooled = roi_align(feature_map.float(), list(cells.float()), self.bins, sampling_ratio=2, aligned=True)
        values = pooled.mean((2, 3)).unflatten(0, (batch, regions)).to(feature_map.dtype)  # [B R D]
        if self.geometry:
            values = torch.cat([values, geometry_features(images.boxes).to(values.dtype)], -1)
        return VisualFeatures(values * images.box_keep.unsqueeze(-1), images.box_keep, Boxes(images.boxes))
