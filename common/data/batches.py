"""What travels from the loader to an image encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from typing_extensions import Self


class Transferable:
    """A frozen dataclass whose tensors, and whatever else has a `to`, move between devices as one."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same on `device`."""
        return self.replace(**{name: value.to(device, non_blocking=non_blocking) for name, value in self._moving()})

    def pin_memory(self) -> Self:
        """The same in memory from which a GPU can fetch it: what a `DataLoader` with `pin_memory` asks of a batch."""
        return self.replace(**{name: value.pin_memory() for name, value in self._moving()})

    def _moving(self) -> Iterator[tuple[str, Any]]:
        """The fields that move."""
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            if hasattr(value := getattr(self, field.name), "to"):
                yield field.name, value

    def replace(self, **changes: object) -> Self:
        """The same with some fields changed."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return type(self)(**(values | changes))


@dataclass(frozen=True)
class ImageBatch(Transferable):
    """Decoded pictures, fitted to the encoder's input size but not normalised: the encoder does that.

    view: the rectangle of the picture that the network sees, see `Grid.view`.
    boxes, box_keep: the regions to describe, in fractions of the picture, for encoders that need boxes.
    """

    pixels: UInt8[Tensor, "B 3 H W"]
    view: Float[Tensor, "B 4"]
    boxes: Float[Tensor, "B R 4"] | None = None
    box_keep: Bool[Tensor, "B R"] | None = None
