"""Regions that were downloaded: the files of bottom-up attention (Anderson et al. 2018) and of those who followed it.

Nobody can compute them anew, but those who still have them can go on with them: `scripts/extract_features.py` brings
them into a `FeatureCache`. An image's id is what its entry says or its file is called.
"""

from __future__ import annotations

import base64
import binascii
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Container, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from common.attention.maps import Boxes
from common.attention.visual import VisualFeatures
from common.data.features import Complain, check_boxes
from common.data.shards import ImageFeatures, collate
from common.errors import DataError, one_line

FIELDS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")


class Regions(NamedTuple):
    """The regions of one image: values, and corners in fractions of the image."""

    values: Float[Tensor, "R D"]
    corners: Float[Tensor, "R 4"]


class RegionFiles(ABC):
    """Files that have regions of images."""

    @abstractmethod
    def ids(self) -> Collection[str]:
        """The images' ids as text."""

    @abstractmethod
    def read(self, image_id: str) -> Regions:
        """The regions of an image; none, of any width, for one in which nothing was found.

        Raises:
            DataError: they are damaged.
        """

    @cached_property
    def dim(self) -> int:
        """The width of the regions: that of the first image that has any.

        Raises:
            DataError: none has.
        """
        for image_id in self.ids():
            try:
                found = self.read(image_id)
            except DataError:
                continue  # told when its turn comes
            if len(found.values):
                return found.values.shape[1]
        raise DataError("none of the images has a region that can be read")

    def encode(self, image_ids: Iterable[str]) -> VisualFeatures:
        """The features [B R D] of some images.

        Raises:
            DataError: those of one are damaged, or of another width than the others.
        """
        images = []
        for image_id in image_ids:
            values, corners = self.read(image_id)
            if len(values) and values.shape[1] != self.dim:
                raise DataError(f"the regions of image {image_id} are {values.shape[1]} wide, others {self.dim}")
            values = values.reshape(len(values), self.dim)
            images.append(ImageFeatures(values, torch.ones(len(values), dtype=torch.bool), Boxes(corners)))
        return collate(images)


class RegionTsv(RegionFiles):
    """Tab-separated lines of image_id, image_w, image_h, num_boxes, boxes and features, the last two in base64.

    The files are read through once for where each image's line begins (tens of GB, so no more is kept). A line without
    all fields is told to `complain` and left out. Of two lines of one image the last counts.

    Raises:
        DataError: a file cannot be read, or has no such lines.
    """

    def __init__(self, paths: Sequence[str | Path], complain: Complain) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}
        for path in map(Path, paths):
            self._index(path, complain)

    def _index(self, path: Path, complain: Complain) -> None:
        offset, broken, found = 0, [], False
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.count(b"\t") == len(FIELDS) - 1:
                        image_id = line.partition(b"\t")[0].decode("utf-8", "replace")
                        self._places[image_id] = (path, offset, number)
                        found = True
                    elif line.strip():
                        broken.append(number)
                    offset += len(line)
        except OSError as error:
            raise DataError(f"region file {path} cannot be read: {error.strerror}") from error
        if not found:
            raise DataError(f"{path} has no lines of {', '.join(FIELDS)}, separated by tabs")
        for number in broken:
            complain(DataError(f"{path}, line {number} has not the fields {', '.join(FIELDS)}: is it cut off?"))

    def ids(self) -> Collection[str]:
        return self._places.keys()

    def read(self, image_id: str) -> Regions:
        path, offset, number = self._places[image_id]
        with path.open("rb") as file:
            file.seek(offset)
            _, width, height, count, boxes, features = file.readline().rstrip(b"\r\n").split(b"\t")
        where = f"{path}, line {number}"
        try:
            rows = int(count)
            arrays = [np.frombuffer(base64.b64decode(text, validate=True), "<f4") for text in (boxes, features)]
            corners, values = (array.reshape(rows, -1 if array.size else 0) for array in arrays)
            return _regions(values, corners, (float(width), float(height)), where)
        except (ValueError, binascii.Error) as error:
            raise DataError(f"{where} (image {image_id}) is damaged: {one_line(error)}") from error


class RegionNpz(RegionFiles):
    """A .npz file for each image, called by its id: features as `x` or `feat`, [R D] or [D R]; corners in pixels as
    `bbox` [R 4]; `image_w` and `image_h`; and, where the arrays are filled up, how many regions there are, `num_bbox`.

    Raises:
        DataError: the folder cannot be read, or has no such files.
    """

    def __init__(self, folder: str | Path) -> None:
        self._paths = {path.stem: path for path in sorted(Path(folder).glob("*.npz"))}
        if not self._paths:
            raise DataError(f"{folder} is no folder with .npz files")

    def ids(self) -> Collection[str]:
        return self._paths.keys()

    def read(self, image_id: str) -> Regions:
        path = self._paths[image_id]
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                values = np.asarray(file["x" if "x" in file else "feat"], np.float32)
                corners = np.asarray(file["bbox"], np.float32)
                count = int(file["num_bbox"]) if "num_bbox" in file else len(corners)
                size = (float(file["image_w"]), float(file["image_h"]))
            if values.ndim == 2 and values.shape[0] != len(corners) and values.shape[1] == len(corners):
                values = values.T
            return _regions(values[:count], corners[:count], size, str(path))
        except KeyError as error:
            raise DataError(f"{path} is no file of regions: it lacks x (or feat), bbox, image_w or image_h") from error
        except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged: {one_line(error)}") from error


def _regions(
    values: NDArray[np.float32], corners: NDArray[np.float32], size: tuple[float, float], where: str
) -> Regions:
    """Regions whose corners [R 4] are in pixels of an image of this width and height."""
    if min(size) <= 0:
        raise DataError(f"{where} says that its image is {size[0]:g} x {size[1]:g} pixels large")
    if values.ndim != 2 or len(values) != len(corners) or (len(corners) and corners.shape[1:] != (4,)):
        raise DataError(f"{where} has features of shape {values.shape} for boxes of shape {corners.shape}")
    if not np.isfinite(values).all():
        raise DataError(f"{where} has features that are not finite")
    fractions = torch.from_numpy(corners.reshape(-1, 4) / np.array([*size, *size], np.float32))
    check_boxes(fractions, where)
    return Regions(torch.from_numpy(values.copy()), fractions.clamp(0, 1))


def find_id(names: Iterable[str], ids: Container[str]) -> str | None:
    """The id by which an image goes among these, if any.

    names: what it may be called: its id, or its file without the ending, of which the number at the end may be the id
        (COCO_val2014_000000000042 is 42).
    """
    for name in names:
        number = re.search(r"\d+$", name)
        for candidate in (name, str(int(number[0])) if number else name):
            if candidate in ids:
                return candidate
    return None
