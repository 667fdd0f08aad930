"""Files of features: what a shard says of itself, and how grids and any number of boxes lie in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from common.attention.maps import Boxes, DetectedBoxes, Grid
from common.attention.visual import VisualFeatures
from common.errors import DataError
from common.files import replacing


@dataclass(frozen=True)
class Header:
    """What a shard says of itself.

    stamps: size and time of change of each image by its path, in the order of the rows, and what else its features
        depend on.
    height, width: of the grid; 0 where the regions are boxes.
    names: of the classes of detected boxes.
    """

    fingerprint: str
    dtype: str
    height: int
    width: int
    stamps: dict[str, str]
    names: tuple[str, ...] = ()


class ImageFeatures(NamedTuple):
    """The features of one image: values as they were stored, which regions are valid, where they lie."""

    values: Float[Tensor, "R D"]
    keep: Bool[Tensor, "R"]
    layout: Grid | Boxes


class Shard:
    """A shard that is mapped into memory.

    Grids are stored as `values [N R D]`, `keep [N R]` and `view [N 4]`. Of boxes only the valid ones are, of all images
    one after the other: `values [T D]`, `corners [T 4]`, the place after each image's last one as `ends [N]`, and those
    of a detector with `scores [T]` and `classes [T]`.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.header = header
        with safe_open(path, framework="pt") as file:
            self._tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self._ends: list[int] = self._tensors["ends"].tolist() if "ends" in self._tensors else []

    def row(self, index: int) -> ImageFeatures:
        """The features of an image."""
        tensors = self._tensors
        if not self._ends:
            layout = Grid(self.header.height, self.header.width, tensors["view"][index])
            return ImageFeatures(tensors["values"][index], tensors["keep"][index], layout)
        place = slice(self._ends[index - 1] if index else 0, self._ends[index])
        corners = tensors["corners"][place]
        boxes = Boxes(corners)
        if "scores" in tensors:
            boxes = DetectedBoxes(corners, tensors["scores"][place], tensors["classes"][place], self.header.names)
        return ImageFeatures(tensors["values"][place], torch.ones(len(corners), dtype=torch.bool), boxes)


def read_header(path: Path) -> Header:
    """What a shard says of itself; DataError where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            fields = json.loads(file.metadata()["header"])
        return Header(**(fields | {"names": tuple(fields.get("names", ()))}))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no shard of features or is damaged: delete it to have it written anew") from error


def write_shard(
    path: Path, fingerprint: str, dtype: str, stamps: Mapping[str, str], features: Sequence[VisualFeatures]
) -> None:
    """Write the features, on the CPU, of the images of `stamps`; DataError where it cannot be written."""
    layout = features[0].layout
    height, width = (layout.height, layout.width) if isinstance(layout, Grid) else (0, 0)
    names = layout.names if isinstance(layout, DetectedBoxes) else ()
    header = Header(fingerprint, dtype, height, width, dict(stamps), names)
    tensors = _grids(features) if isinstance(layout, Grid) else _boxes(features)
    tensors["values"] = tensors["values"].to(getattr(torch, dtype))
    with replacing(path) as draft:
        draft.write_bytes(save(tensors, metadata={"header": json.dumps(asdict(header))}))


def _grids(features: Sequence[VisualFeatures]) -> dict[str, Tensor]:
    parts = {
        "values": [each.values for each in features],
        "keep": [each.keep for each in features],
        "view": [each.layout.view for each in features],  # type: ignore[union-attr]
    }
    return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()}


def _boxes(features: Sequence[VisualFeatures]) -> dict[str, Tensor]:
    parts = {
        "values": [each.values[each.keep] for each in features],
        "corners": [each.layout.rectangles()[each.keep] for each in features],
    }
    if isinstance(features[0].layout, DetectedBoxes):
        parts["scores"] = [each.layout.scores[each.keep] for each in features]  # type: ignore[union-attr]
        parts["classes"] = [each.layout.classes[each.keep] for each in features]  # type: ignore[union-attr]
    ends = torch.cat([each.keep.sum(1) for each in features]).cumsum(0)
    return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()} | {"ends": ends}


def collate(images: Sequence[ImageFeatures]) -> VisualFeatures:
    """The features [B R D] of some images as they are stored; boxes are filled up to the most that one of them has."""
    most = max(1, *(len(image.keep) for image in images))  # without any region there is one that is not valid
    values = images[0].values.new_empty(len(images), most, images[0].values.shape[1])
    keep = torch.zeros(len(images), most, dtype=torch.bool)
    for row, image in enumerate(images):
        values[row, : len(image.values)] = image.values
        values[row, len(image.values) :] = 0
        keep[row, : len(image.keep)] = image.keep
    if isinstance(images[0].layout, Grid):
        view = torch.stack([image.layout.view for image in images])  # type: ignore[union-attr]
        return VisualFeatures(values, keep, Grid(images[0].layout.height, images[0].layout.width, view))
    return VisualFeatures(values, keep, _collate_boxes([image.layout for image in images], most))  # type: ignore[misc]


def _collate_boxes(layouts: Sequence[Boxes], most: int) -> Boxes:
    corners = torch.zeros(len(layouts), most, 4)
    for row, layout in enumerate(layouts):
        corners[row, : len(layout.corners)] = layout.corners
    if not isinstance(layouts[0], DetectedBoxes):
        return Boxes(corners)
    scores, classes = torch.zeros(len(layouts), most), torch.zeros(len(layouts), most, dtype=torch.long)
    for row, layout in enumerate(layouts):
        scores[row, : len(layout.corners)] = layout.scores  # type: ignore[attr-defined]
        classes[row, : len(layout.corners)] = layout.classes  # type: ignore[attr-defined]
    return DetectedBoxes(corners, scores, classes, layouts[0].names)
