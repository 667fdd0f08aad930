"""Several backbones at once: what each makes of a region stands side by side in it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from common.attention.maps import Grid
from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.image import VisualEncoder, geometry_features, resize_map
from common.errors import ConfigError


class JoinedEncoder(VisualEncoder):
    """The regions of several grid encoders on one grid, for attention that chooses among them (`MixedSources`).

    Args:
        encoders: of pictures of one size, without `geometry`; their regions are brought to the grid of the last.
        geometry: append each region's place (`geometry_features`).

    Raises:
        ConfigError: there is none, or they want their pictures prepared differently or bring geometry of their own.
    """

    def __init__(self, encoders: list[VisualEncoder], geometry: bool = False) -> None:
        super().__init__()
        if not encoders:
            raise ConfigError("encoders is empty: name at least one, such as common.encoders.ImageEncoder")
        for one, other in pairwise(encoders):
            if one.preprocessing != other.preprocessing:
                raise ConfigError(
                    f"encoders want different pictures, {one.preprocessing} and {other.preprocessing}: give them one"
                    " image_size and fit, and one interpolation in model_args' pretrained_cfg_overlay"
                )
        if any(getattr(encoder, "geometry", False) for encoder in encoders):
            raise ConfigError("geometry stands once at the end of a region: set it on the JoinedEncoder alone")
        self.encoders = nn.ModuleList(encoders)
        self.geometry = geometry
        self.widths = [encoder.dim for encoder in encoders]
        self.dim = sum(self.widths) + 4 * geometry

    @property
    def preprocessing(self) -> Preprocessing:  # type: ignore[override]  # an attribute in the base class
        """That of each."""
        return self.encoders[-1].preprocessing  # type: ignore[return-value]

    @property
    def frozen(self) -> bool:
        """True when all are."""
        return all(encoder.frozen for encoder in self.encoders)

    def extra_repr(self) -> str:
        """What tells apart two encoders of the same weights."""
        return f"geometry={self.geometry}, encoders=({', '.join(each.extra_repr() for each in self.encoders)})"

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D] of pictures [B 3 H W].

        Raises:
            TypeError: an encoder gives boxes.
        """
        features = [encoder(images) for encoder in self.encoders]
        last = features[-1].layout
        values = []
        for each in features:
            if not isinstance(each.layout, Grid):
                raise TypeError(f"JoinedEncoder joins grids, not {type(each.layout).__name__}")
            feature_map = each.values.transpose(1, 2).unflatten(2, (each.layout.height, each.layout.width))
            values.append(resize_map(feature_map, (last.height, last.width)).flatten(2).transpose(1, 2))
        if self.geometry:
            values.append(geometry_features(last.rectangles()).to(values[0].dtype))
        return VisualFeatures(torch.cat(values, -1), features[-1].keep, last)
