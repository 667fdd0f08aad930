"""People's own pictures, outside any data set: files, folders and globs to batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from common.data.batches import ImageBatch
from common.data.extraction import Encoder
from common.data.images import find_images, load_image
from common.errors import DataError, ImageError


class Picture(NamedTuple):
    """A picture and where it came from."""

    path: Path
    image: Image.Image


def read_pictures(patterns: Iterable[str], complain: Callable[[ImageError], None]) -> Iterator[Picture]:
    """The pictures that files, folders or globs name.

    What cannot be read, and a pattern that names nothing, is handed to `complain` and left out.
    """
    for path in _paths(patterns, complain):
        try:
            yield Picture(path, load_image(path))
        except ImageError as error:
            complain(error)


def _paths(patterns: Iterable[str], complain: Callable[[ImageError], None]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            yield from find_images(pattern)
        except ImageError as error:
            complain(error)


def batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Lists of up to `size` pictures."""
    iterator = iter(pictures)
    while batch := list(islice(iterator, size)):
        yield batch


def collate(pictures: Sequence[Picture], encoder: Encoder) -> ImageBatch:
    """The batch [B 3 H W] that an encoder takes.

    Raises:
        DataError: it is one of given boxes or of stored regions, which pictures alone do not have.
    """
    if encoder.needs_cache:
        raise DataError(
            "this model looks at regions that were stored by a detector which it does not have, so it cannot see new "
            "pictures: score it on its data (scripts/evaluate.py), or train one with common.encoders.DetectorEncoder"
        )
    if encoder.needs_boxes:
        raise DataError(
            "this model looks at given boxes, which pictures alone do not have: "
            "score it on data with boxes (scripts/evaluate.py), or use a model with a grid encoder or with a detector"
        )
    pixels, views = zip(*(encoder.preprocessing.prepare(picture.image) for picture in pictures), strict=True)
    return ImageBatch(torch.stack(pixels), torch.stack(views))
