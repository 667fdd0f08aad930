"""`VisualFeatures`: what an image is to every model, whether its regions are grid cells or boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from common.attention.maps import Boxes, Grid


@dataclass(frozen=True)
class VisualFeatures:
    """Region features of a batch of pictures.

    keep: True where a region is valid; False for padding boxes and for grid cells that see padding only.
    """

    values: Float[Tensor, "B R D"]
    keep: Bool[Tensor, "B R"]
    layout: Grid | Boxes

    def mean(self) -> Float[Tensor, "B D"]:
        """The mean over the valid regions of each picture; zero for a picture that has none."""
        keep = self.keep.unsqueeze(-1).to(self.values.dtype)  # [B R 1]
        return (self.values * keep).sum(1) / keep.sum(1).clamp(min=1)

    def select(self, index: Tensor) -> VisualFeatures:
        """The pictures `index` of the batch, in that order; one may come several times."""
        return VisualFeatures(self.values[index], self.keep[index], self.layout.select(index))

    def pin_memory(self) -> VisualFeatures:
        """The same in memory from which a GPU can fetch it: what a `DataLoader` with `pin_memory` asks of a batch."""
        return VisualFeatures(self.values.pin_memory(), self.keep.pin_memory(), self.layout.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VisualFeatures:
        """The same on `device`."""
        return VisualFeatures(
            self.values.to(device, non_blocking=non_blocking),
            self.keep.to(device, non_blocking=non_blocking),
            self.layout.to(device, non_blocking=non_blocking),
        )
