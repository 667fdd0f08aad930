"""A cache of features on disk: a frozen encoder runs once per image, and many workers read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from common.attention.maps import Boxes
from common.attention.visual import VisualFeatures
from common.data.shards import Header, ImageFeatures, Shard, collate, read_header, write_shard
from common.errors import DataError, ImageError

SHARD_SIZE = 128  # images; 100 MB of 196 x 2048 in float16
DType = Literal["float16", "float32"]
Encode = Callable[[list[Path]], VisualFeatures]
Complain = Callable[[DataError | ImageError], None]


class FeatureCache:
    """Features of images, by the images' paths: on a grid, or of boxes, of which each image has as many as it has.

    On disk: a folder of safetensors shards (see `Shard`), each with a header that says which images and which encoder
    they are of. A shard gets its name when it is complete, so an interrupted run leaves whole shards, and the next one
    goes on from there; two runs at once write the same and do no harm.

    Shards are mapped into memory when first read, by each process for itself.
    """

    def __init__(self, folder: Path, headers: dict[Path, Header]) -> None:
        self.folder = folder
        self._headers = headers
        self._rows = {key: (path, row) for path, header in headers.items() for row, key in enumerate(header.stamps)}
        self._mapped: dict[Path, Shard] = {}

    @classmethod
    def open(cls, folder: str | Path, fingerprint: str) -> FeatureCache:
        """The cache in a folder.

        Raises:
            DataError: there is none, a shard is damaged, or the features are of another encoder than `fingerprint`.
        """
        cache = cls(Path(folder), _read_headers(Path(folder), fingerprint))
        if not cache._rows:
            raise DataError(f"there are no cached features in {folder}")
        return cache

    @classmethod
    def write(
        cls,
        folder: str | Path,
        fingerprint: str,
        images: Collection[Path] | Mapping[Path, str],
        encode: Encode,
        dtype: DType = "float16",
        batch_size: int = 32,
        complain: Complain | None = None,
    ) -> FeatureCache:
        """The cache in a folder, with features computed for the images that it lacks or that have changed since.

        Args:
            fingerprint: of all that the features depend on besides the image.
            images: which; as a mapping, each with a text that stands for what else its own features depend on.
            encode: makes the features of at most `batch_size` images.
            complain: told of each image that cannot be read or encoded, which is then left out; else that ends it.

        Raises:
            DataError: the disk is full, a shard is damaged, the folder has features of another encoder or dtype, or
                those of an image are not finite, or are of boxes outside it.
            ImageError: an image cannot be read.
        """
        folder = Path(folder)
        stamps = _stamps(images, complain)
        cache = cls(folder, _current(_read_headers(folder, fingerprint, dtype), stamps))
        named = {_key(image): image for image in images}  # as they are given: `encode` knows them by that name
        missing = [named[key] for key in stamps if key not in cache._rows]
        with tqdm(total=len(missing), desc="features", unit="image", disable=not missing) as progress:
            for start in range(0, len(missing), SHARD_SIZE):
                paths = missing[start : start + SHARD_SIZE]
                planned = {_key(path): stamps[_key(path)] for path in paths}
                shard = folder / f"{hashlib.sha256(json.dumps(planned).encode()).hexdigest()[:16]}.safetensors"
                if shard.exists():  # another run has been faster
                    progress.update(len(planned))
                    continue
                encoded = []
                for at in range(0, len(paths), batch_size):
                    encoded += _encode(paths[at : at + batch_size], encode, getattr(torch, dtype), complain)
                    progress.update(len(paths[at : at + batch_size]))
                done = {_key(path): planned[_key(path)] for batch, _ in encoded for path in batch}
                if done:
                    write_shard(shard, fingerprint, dtype, done, [features for _, features in encoded])
        return cls.open(folder, fingerprint)

    def get(self, image: Path) -> ImageFeatures:
        """The features of one image.

        Raises:
            DataError: the cache does not have it.
        """
        try:
            path, row = self._rows[_key(image)]
        except KeyError:
            raise DataError(f"image {image} has no features in the cache {self.folder}: write them first") from None
        if path not in self._mapped:
            self._mapped[path] = Shard(path, self._headers[path])
        return self._mapped[path].row(row)

    def batch(self, images: Sequence[Path]) -> VisualFeatures:
        """The features [B R D] of some images, as they are stored; R is the most regions that one of them has.

        Float16 becomes float32 on the device, see `TaskModule.features`: half as much travels there from the workers.
        """
        return collate([self.get(image) for image in images])

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image: Path) -> bool:
        return _key(image) in self._rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": {}}  # a worker maps the shards anew; pickled they would be read in full


def _key(image: Path) -> str:
    return os.path.abspath(image)


def _stamps(images: Collection[Path] | Mapping[Path, str], complain: Complain | None) -> dict[str, str]:
    """Size and time of change of each image, and what else its features depend on."""
    stamps = {}
    for image, more in images.items() if isinstance(images, Mapping) else ((image, "") for image in images):
        try:
            status = image.stat()
        except OSError as error:
            fault = ImageError(f"image {image} cannot be read: {error.strerror}")
            if complain is None:
                raise fault from error
            complain(fault)
        else:
            stamps[_key(image)] = f"{status.st_size} {status.st_mtime_ns} {more}".rstrip()
    return stamps


def _read_headers(folder: Path, fingerprint: str, dtype: str | None = None) -> dict[Path, Header]:
    headers = {}
    for path in sorted(folder.glob("*.safetensors")):
        header = read_header(path)
        for kind, found, wanted in (("encoder", header.fingerprint, fingerprint), ("dtype", header.dtype, dtype)):
            if wanted is not None and found != wanted:
                raise DataError(
                    f"the features in {folder} are of another {kind} ({found}, wanted {wanted}): name another folder "
                    "(of data: --data.init_args.loading.cache FOLDER, or null for none)"
                )
        headers[path] = header
    return headers


def _current(headers: dict[Path, Header], stamps: dict[str, str]) -> dict[Path, Header]:
    """The shards without those that have an image which has changed since; these are deleted."""
    current = {}
    for path, header in headers.items():
        if all(stamps.get(image, stamp) == stamp for image, stamp in header.stamps.items()):
            current[path] = header
        else:
            path.unlink(missing_ok=True)
    return current


def _encode(
    images: list[Path], encode: Encode, dtype: torch.dtype, complain: Complain | None
) -> list[tuple[list[Path], VisualFeatures]]:
    """The features of a batch; without the images at fault, if there are such and `complain` is told of each."""
    try:
        features = encode(images).to("cpu")
        _check(features, images, dtype)
    except (DataError, ImageError) as fault:
        if complain is None:
            raise
        if len(images) > 1:
            return [found for image in images for found in _encode([image], encode, dtype, complain)]
        complain(fault)
        return []
    return [(images, features)]


def _check(features: VisualFeatures, images: list[Path], dtype: torch.dtype) -> None:
    """See that the features of each image are numbers, also when stored, and its boxes lie in it.

    Raises:
        DataError: they do not.
    """
    boxes = features.layout.rectangles() if isinstance(features.layout, Boxes) else None
    for row, image in enumerate(images):
        values = features.values[row] if boxes is None else features.values[row][features.keep[row]]  # what is stored
        if not values.isfinite().all():
            raise DataError(f"the features of {image} are not all finite: something is wrong with what made them")
        if not values.to(dtype).isfinite().all():
            raise DataError(f"the features of {image} are not finite as {dtype}: try float32")
        if boxes is not None:
            check_boxes(boxes[row][features.keep[row]], str(image))


def check_boxes(corners: torch.Tensor, image: str) -> None:
    """See that boxes [R 4] in fractions of a picture lie in it, up to a hundredth of its sides.

    Raises:
        DataError: one does not.
    """
    x0, y0, x1, y1 = corners.unbind(-1)
    inside = (
        corners.isfinite().all(-1) & (corners >= -0.01).all(-1) & (corners <= 1.01).all(-1) & (x0 <= x1) & (y0 <= y1)
    )
    if not inside.all():
        number = int((~inside).nonzero()[0])
        found = [round(value, 3) for value in corners[number].tolist()]
        raise DataError(
            f"{image} has a box outside the picture, number {number + 1} at {found} in fractions of it: corners are "
            "(left, top, right, bottom), and belong to a width and a height"
        )
