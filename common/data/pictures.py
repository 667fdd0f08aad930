"""People's own pictures, outside any data set: files, folders and globs to batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from common.data.batches import ImageBatch
from common.data.images import Preprocessing, find_images, load_image
from common.errors import ImageError


class Picture(NamedTuple):
    """A picture and where it came from."""

    path: Path
    image: Image.Image


def read_pictures(patterns: Iterable[str], complain: Callable[[ImageError], None]) -> Iterator[Picture]:
    """The pictures that files, folders or globs name. One that cannot be read is handed to `complain` and left out.

    Raises:
        ImageError: a pattern names no picture.
    """
    for path in [path for pattern in patterns for path in find_images(pattern)]:
        try:
            yield Picture(path, load_image(path))
        except ImageError as error:
            complain(error)


def batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Lists of up to `size` pictures."""
    iterator = iter(pictures)
    while batch := list(islice(iterator, size)):
        yield batch


def collate(pictures: Sequence[Picture], preprocessing: Preprocessing) -> ImageBatch:
    """The batch [B 3 H W] that an encoder takes."""
    pixels, views = zip(*(preprocessing.prepare(picture.image) for picture in pictures), strict=True)
    return ImageBatch(torch.stack(pixels), torch.stack(views))
