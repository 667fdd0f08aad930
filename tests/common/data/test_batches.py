from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from common.attention import Grid, VisualFeatures
from common.data.batches import ImageBatch, Transferable


@dataclass(frozen=True)
class Holder(Transferable):
    """A batch of what both tasks' batches have."""

    visual: ImageBatch | VisualFeatures
    tokens: Tensor
    records: tuple[str, ...]


def images(boxes: Tensor | None = None) -> ImageBatch:
    keep = None if boxes is None else torch.ones(boxes.shape[:2], dtype=torch.bool)
    return ImageBatch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 4), boxes, keep)


def test_everything_in_a_batch_moves_and_the_records_stay() -> None:
    moved = Holder(images(torch.zeros(2, 1, 4)), torch.zeros(2, 3), ("a", "b")).to("meta")
    assert isinstance(moved.visual, ImageBatch)
    tensors = (moved.tokens, moved.visual.pixels, moved.visual.view, moved.visual.boxes, moved.visual.box_keep)
    assert {tensor.device.type for tensor in tensors if tensor is not None} == {"meta"}
    assert moved.records == ("a", "b")


def test_features_move_with_their_layout() -> None:
    features = VisualFeatures(torch.zeros(2, 4, 3), torch.ones(2, 4) > 0, Grid(2, 2, torch.zeros(2, 4)))
    moved = Holder(features, torch.zeros(2, 3), ()).to("meta").visual
    assert isinstance(moved, VisualFeatures)
    assert isinstance(moved.layout, Grid)
    assert {moved.values.device.type, moved.keep.device.type, moved.layout.view.device.type} == {"meta"}


def test_a_batch_without_boxes_moves_without_boxes() -> None:
    moved = images().to("meta")
    assert moved.boxes is None
    assert moved.box_keep is None


def test_replacing_one_field_leaves_the_others_and_the_original() -> None:
    batch = images()
    view = torch.ones(2, 4)
    changed = batch.replace(view=view)
    assert changed.view is view
    assert changed.pixels is batch.pixels
    assert batch.view is not view
