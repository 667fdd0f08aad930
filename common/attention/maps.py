"""Where attention can lie (grid, boxes, words), and `AttentionMap`, what every model hands back to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """The cells of a regular grid, row by row: region r is row r // width, column r % width.

    `view` is the rectangle of the picture that the grid covers, as (x0, y0, x1, y1) in fractions of the picture's
    width and height. A squashed picture has (0, 0, 1, 1); one padded to a square reaches outside 0..1 on two sides.
    A batch has one view per picture, a single map has one.
    """

    height: int
    width: int
    view: Float[Tensor, "*B 4"]

    def select(self, index: int | Tensor) -> Grid:
        """The layout of picture `index` of a batch, or of several."""
        return Grid(self.height, self.width, self.view[index])

    def pin_memory(self) -> Grid:
        """The same in memory from which a GPU can fetch it."""
        return Grid(self.height, self.width, self.view.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Grid:
        """The same on `device`."""
        return Grid(self.height, self.width, self.view.to(device, non_blocking=non_blocking))

    def rectangles(self) -> Float[Tensor, "*B R 4"]:
        """Each cell's rectangle as (x0, y0, x1, y1) in fractions of the picture."""
        rows = torch.arange(self.height, device=self.view.device).repeat_interleave(self.width)
        columns = torch.arange(self.width, device=self.view.device).repeat(self.height)
        cells = torch.stack([columns, rows, columns + 1, rows + 1], -1) / self.view.new_tensor(
            [self.width, self.height, self.width, self.height]
        )  # [R 4] in fractions of the grid
        origin = self.view[..., None, [0, 1, 0, 1]]  # [*B 1 4]
        return origin + cells * (self.view[..., None, [2, 3, 2, 3]] - origin)


@dataclass(frozen=True)
class Boxes:
    """Boxes of regions, as (x0, y0, x1, y1) in fractions of the picture's width and height."""

    corners: Float[Tensor, "*B R 4"]

    def select(self, index: int | Tensor) -> Boxes:
        """The layout of picture `index` of a batch, or of several."""
        return Boxes(self.corners[index])

    def pin_memory(self) -> Boxes:
        """The same in memory from which a GPU can fetch it."""
        return Boxes(self.corners.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Boxes:
        """The same on `device`."""
        return Boxes(self.corners.to(device, non_blocking=non_blocking))

    def rectangles(self) -> Float[Tensor, "*B R 4"]:
        """Each box as (x0, y0, x1, y1) in fractions of the picture."""
        return self.corners


@dataclass(frozen=True)
class DetectedBoxes(Boxes):
    """Boxes in which a detector has found something.

    scores: how sure it is, in 0..1. classes: what it has found, as an index into `names`.
    """

    scores: Float[Tensor, "*B R"]
    classes: Int[Tensor, "*B R"]
    names: tuple[str, ...]

    def select(self, index: int | Tensor) -> DetectedBoxes:
        """The layout of picture `index` of a batch, or of several."""
        return DetectedBoxes(self.corners[index], self.scores[index], self.classes[index], self.names)

    def pin_memory(self) -> DetectedBoxes:
        """The same in memory from which a GPU can fetch it."""
        return DetectedBoxes(self.corners.pin_memory(), self.scores.pin_memory(), self.classes.pin_memory(), self.names)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DetectedBoxes:
        """The same on `device`."""
        return DetectedBoxes(
            self.corners.to(device, non_blocking=non_blocking),
            self.scores.to(device, non_blocking=non_blocking),
            self.classes.to(device, non_blocking=non_blocking),
            self.names,
        )


@dataclass(frozen=True)
class Words:
    """The words of a text, in order."""

    labels: tuple[str, ...]


@dataclass(frozen=True)
class AttentionMap:
    """Attention weights of one example with all that is needed to draw them on the original picture.

    weights: on the CPU, float32; the last axis runs over the keys.
    axes: one name for each axis of `weights`, such as ("word", "region") or ("level", "region").
    key_layout: where the keys lie.
    kind: the kind of attention in words, for captions: "soft", "hard", "parallel co-attention".
    query_labels: what the entries of the axis before the keys are called: the caption's words, the levels' names.
    """

    weights: Float[Tensor, "*axes keys"]
    axes: tuple[str, ...]
    key_layout: Grid | Boxes | Words
    kind: str
    query_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.axes) != self.weights.ndim:
            raise ValueError(
                f"{len(self.axes)} axis names {self.axes} for weights of shape {tuple(self.weights.shape)}"
            )
        queries = self.weights.shape[-2] if self.weights.ndim > 1 else 0
        if self.query_labels and len(self.query_labels) != queries:
            raise ValueError(f"{len(self.query_labels)} query labels for {queries} queries")
