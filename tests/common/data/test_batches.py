from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

import pytest
import torch
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory  # what a loader calls

from common.attention import Boxes, Grid, VisualFeatures
from common.attention.maps import DetectedBoxes
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


@pytest.mark.parametrize(
    "layout",
    [
        Grid(2, 2, torch.zeros(2, 4)),
        Boxes(torch.zeros(2, 4, 4)),
        DetectedBoxes(torch.zeros(2, 4, 4), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.long), ("dog",)),
    ],
)
def test_a_loader_pins_all_of_a_batch(layout: Grid | Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []

    def pin(tensor: Tensor, *_: object) -> Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(Tensor, "pin_memory", pin)  # which needs a GPU
    features = VisualFeatures(torch.zeros(2, 4, 3), torch.ones(2, 4) > 0, layout)
    for visual in (images(torch.zeros(2, 1, 4)), features):
        pinned.clear()
        found = pin_memory(Holder(visual, torch.zeros(2, 3), ("a", "b")))
        assert found.records == ("a", "b")
        assert type(found.visual) is type(visual)
        assert {id(tensor) for tensor in tensors_of(found)} == {id(tensor) for tensor in pinned}


def tensors_of(value: object) -> Iterator[Tensor]:
    """All tensors within dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


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
