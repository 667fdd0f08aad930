"""From records to what an image encoder takes: decoded pictures, or features that were computed before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing, load_image
from common.data.records import CaptionRecord, VQARecord
from common.errors import DataError

Record = CaptionRecord | VQARecord


@runtime_checkable
class VisualLoader(Protocol):
    """Makes the visual part of a batch, one entry per record."""

    def __call__(self, records: Sequence[Record]) -> ImageBatch | VisualFeatures:
        """Pictures [B 3 H W] or features [B R D]."""
        ...


class ImageLoader:
    """Decodes pictures.

    `in_memory` keeps each decoded picture: right for data sets of small pictures, where decoding costs as much as the
    network. `with_boxes` adds the records' boxes. `mirror` gives every second picture, by chance, as in a mirror, with
    its boxes.
    """

    def __init__(
        self, preprocessing: Preprocessing, with_boxes: bool = False, in_memory: bool = False, mirror: bool = False
    ) -> None:
        self.preprocessing = preprocessing
        self.with_boxes = with_boxes
        self.mirror = mirror
        self._decoded: dict[Path, tuple[Tensor, Tensor]] | None = {} if in_memory else None

    def __call__(self, records: Sequence[Record]) -> ImageBatch:
        """Pictures [B 3 H W] with their views [B 4], and boxes [B R 4] where wanted."""
        pixels, views = zip(*(self._load(record.image) for record in records), strict=True)
        boxes, box_keep = collate_boxes(records) if self.with_boxes else (None, None)
        batch = ImageBatch(torch.stack(pixels), torch.stack(views), boxes, box_keep)
        return mirrored(batch, torch.rand(len(records)) < 0.5) if self.mirror else batch

    def _load(self, path: Path) -> tuple[Tensor, Tensor]:
        if self._decoded is None:
            return self.preprocessing.prepare(load_image(path))
        if path not in self._decoded:
            self._decoded[path] = self.preprocessing.prepare(load_image(path))
        return self._decoded[path]


def mirrored(batch: ImageBatch, which: Bool[Tensor, " B"]) -> ImageBatch:
    """The pictures with left and right changed in some."""

    def turned(rectangles: Float[Tensor, "B *R 4"]) -> Float[Tensor, "B *R 4"]:
        x0, y0, x1, y1 = rectangles.unbind(-1)
        chosen = which.view(-1, *[1] * (rectangles.ndim - 1))
        return torch.where(chosen, torch.stack([1 - x1, y0, 1 - x0, y1], -1), rectangles)

    pixels = torch.where(which.view(-1, 1, 1, 1), batch.pixels.flip(-1), batch.pixels)
    return ImageBatch(pixels, turned(batch.view), None if batch.boxes is None else turned(batch.boxes), batch.box_keep)


def collate_boxes(records: Sequence[Record]) -> tuple[Float[Tensor, "B R 4"], Bool[Tensor, "B R"]]:
    """The boxes of each record, filled up with empty ones, and which are valid.

    Raises:
        DataError: a record has no boxes.
    """
    for record in records:
        if not record.boxes:
            raise DataError(f"{record.image}: no boxes are known for this picture; give some, or use a grid encoder")
    most = max(len(record.boxes) for record in records)
    boxes, keep = torch.zeros(len(records), most, 4), torch.zeros(len(records), most, dtype=torch.bool)
    for row, record in enumerate(records):
        boxes[row, : len(record.boxes)] = torch.tensor([box.corners for box in record.boxes])
        keep[row, : len(record.boxes)] = True
    return boxes, keep


def pad_texts(
    texts: Sequence[Sequence[Sequence[int]]], least: int = 0
) -> tuple[Int[Tensor, "B Q T"], Bool[Tensor, "B Q T"]]:
    """Word ids of each picture's texts, filled up with 0, and which are valid; Q and T are at least `least`."""
    longest = max((len(text) for picture in texts for text in picture), default=0)
    shape = len(texts), max(least, *map(len, texts)), max(least, longest)
    tokens, keep = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for row, picture in enumerate(texts):
        for column, text in enumerate(picture):
            tokens[row, column, : len(text)] = torch.tensor(text, dtype=torch.long)
            keep[row, column, : len(text)] = True
    return tokens, keep
