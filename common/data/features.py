"""A cache of grid features on disk: a frozen encoder runs once per image, and many workers read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from common.attention.maps import Grid
from common.attention.visual import VisualFeatures
from common.errors import ConfigError, DataError, ImageError
from common.files import replacing

SHARD_SIZE = 128  # images; 100 MB of 196 x 2048 in float16
Encode = Callable[[list[Path]], VisualFeatures]


@dataclass(frozen=True)
class _Header:
    """What a shard says of itself.

    stamps: size and time of change of each image by its path, in the order of the rows.
    """

    fingerprint: str
    dtype: str
    height: int
    width: int
    stamps: dict[str, str]


class FeatureCache:
    """Features of images, by the images' paths.

    On disk: a folder of safetensors shards, each with `values [N R D]`, `keep [N R]`, `view [N 4]`, and with a header
    that says which images and which encoder they are of. A shard gets its name when it is complete, so an interrupted
    run leaves whole shards, and the next one goes on from there; two runs at once write the same and do no harm.

    Shards are mapped into memory when first read, by each process for itself.
    """

    def __init__(self, folder: Path, headers: dict[Path, _Header]) -> None:
        self.folder = folder
        self._headers = headers
        self._rows = {key: (path, row) for path, header in headers.items() for row, key in enumerate(header.stamps)}
        self._mapped: dict[Path, dict[str, Tensor]] = {}

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
        images: Sequence[Path],
        encode: Encode,
        dtype: Literal["float16", "float32"] = "float16",
        batch_size: int = 32,
    ) -> FeatureCache:
        """The cache in a folder, with features computed for the images that it lacks or that have changed since.

        Args:
            fingerprint: of all that the features depend on besides the image.
            encode: makes the features of at most `batch_size` images, on a grid.

        Raises:
            DataError: the disk is full, a shard is damaged, or the folder has features of another encoder or dtype.
            ImageError: an image is not there.
        """
        folder = Path(folder)
        stamps = {_key(image): _stamp(image) for image in images}
        cache = cls(folder, _current(_read_headers(folder, fingerprint, dtype), stamps))
        missing = [Path(key) for key in stamps if key not in cache._rows]
        with tqdm(total=len(missing), desc="features", unit="image", disable=not missing) as progress:
            for start in range(0, len(missing), SHARD_SIZE):
                paths = missing[start : start + SHARD_SIZE]
                named = {str(path): stamps[str(path)] for path in paths}
                shard = folder / f"{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]}.safetensors"
                if not shard.exists():  # else another run has been faster
                    batches = [paths[at : at + batch_size] for at in range(0, len(paths), batch_size)]
                    tensors, grid = _encode(batches, encode, getattr(torch, dtype))
                    header = _Header(fingerprint, dtype, grid.height, grid.width, named)
                    with replacing(shard) as draft:
                        draft.write_bytes(save(tensors, metadata={"header": json.dumps(asdict(header))}))
                progress.update(len(paths))
        return cls.open(folder, fingerprint)

    def get(self, image: Path) -> tuple[Float[Tensor, "R D"], Bool[Tensor, "R"], Float[Tensor, "4"]]:
        """Values as they were stored, validity, and view (see `Grid.view`) of one image.

        Raises:
            DataError: the cache does not have it.
        """
        try:
            path, row = self._rows[_key(image)]
        except KeyError:
            raise DataError(f"image {image} has no features in the cache {self.folder}: write them first") from None
        if path not in self._mapped:
            with safe_open(path, framework="pt") as shard:
                self._mapped[path] = {name: shard.get_tensor(name) for name in ("values", "keep", "view")}
        shard = self._mapped[path]
        return shard["values"][row], shard["keep"][row], shard["view"][row]

    def batch(self, images: Sequence[Path]) -> VisualFeatures:
        """The features [B R D] of some images, in float32."""
        values, keep, view = (torch.stack(parts) for parts in zip(*map(self.get, images), strict=True))
        header = self._headers[self._rows[_key(images[0])][0]]
        return VisualFeatures(values.float(), keep, Grid(header.height, header.width, view))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image: Path) -> bool:
        return _key(image) in self._rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": {}}  # a worker maps the shards anew; pickled they would be read in full


def _key(image: Path) -> str:
    return os.path.abspath(image)


def _stamp(image: Path) -> str:
    try:
        status = image.stat()
    except OSError as error:
        raise ImageError(f"image {image} cannot be read: {error.strerror}") from error
    return f"{status.st_size} {status.st_mtime_ns}"


def _read_headers(folder: Path, fingerprint: str, dtype: str | None = None) -> dict[Path, _Header]:
    headers = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as shard:
                header = _Header(**json.loads(shard.metadata()["header"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is no shard of features or is damaged: delete it to have it written anew"
            ) from error
        for kind, found, wanted in (("encoder", header.fingerprint, fingerprint), ("dtype", header.dtype, dtype)):
            if wanted is not None and found != wanted:
                raise DataError(
                    f"the features in {folder} are of another {kind} ({found}, wanted {wanted}): "
                    "name another folder for the cache, or delete this one"
                )
        headers[path] = header
    return headers


def _current(headers: dict[Path, _Header], stamps: dict[str, str]) -> dict[Path, _Header]:
    """The shards without those that have an image which has changed since; these are deleted."""
    current = {}
    for path, header in headers.items():
        if all(stamps.get(image, stamp) == stamp for image, stamp in header.stamps.items()):
            current[path] = header
        else:
            path.unlink(missing_ok=True)
    return current


def _encode(batches: list[list[Path]], encode: Encode, dtype: torch.dtype) -> tuple[dict[str, Tensor], Grid]:
    parts: dict[str, list[Tensor]] = {"values": [], "keep": [], "view": []}
    for batch in batches:
        features = encode(batch)
        if not isinstance(features.layout, Grid):
            raise ConfigError("only features on a grid can be cached, and this encoder makes features of boxes")
        grid: Grid = features.layout
        values = features.values.to(dtype)
        if not values.isfinite().all():
            raise DataError(f"the features of {batch[0]} or an image next to it are not finite as {dtype}: try float32")
        parts["values"].append(values.cpu())
        parts["keep"].append(features.keep.cpu())
        parts["view"].append(grid.view.cpu())
    return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()}, grid
