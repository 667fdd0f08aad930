"""A frozen encoder run over a data set's pictures, each once, and what it makes of them read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.features import Complain, DType, FeatureCache
from common.data.images import Preprocessing
from common.data.loading import ImageLoader, Record
from common.errors import ConfigError, DataError


@runtime_checkable
class Encoder(Protocol):
    """What the data must know of a model's image encoder."""

    preprocessing: Preprocessing
    needs_boxes: bool
    needs_cache: bool

    @property
    def frozen(self) -> bool:
        """Whether nothing of it is trained."""
        ...

    def __call__(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D]."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Its weights."""
        ...

    def fingerprint(self) -> str:
        """A digest of what the features depend on."""
        ...


class CachedFeatures:
    """A visual loader that reads features from a cache."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache

    def __call__(self, records: Sequence[Record]) -> VisualFeatures:
        """Features [B R D] of the records' pictures."""
        return self.cache.batch([record.image for record in records])


def extract(
    encoder: Encoder,
    records: Iterable[Record],
    folder: str | Path,
    dtype: DType = "float16",
    batch_size: int = 32,
    complain: Complain | None = None,
) -> FeatureCache:
    """The cache in a folder, with the features of all the records' pictures; computed where it lacks them.

    Args:
        encoder: whose regions are stored. One that needs boxes takes the records', and one that needs a cache finds all
            there already.
        complain: see `FeatureCache.write`.

    Raises:
        ConfigError: the encoder is trained.
        DataError: the cache cannot be used or written, or a picture lacks what the encoder needs.
        ImageError: a picture cannot be read.
    """
    pictures = _pictures(records, encoder)
    if encoder.needs_cache:
        return _stored(encoder, pictures, folder)
    if not encoder.frozen:
        raise ConfigError(
            "data.init_args.loading.cache keeps features of a frozen encoder: set train_from to null, or cache to null"
        )
    load = ImageLoader(encoder.preprocessing, encoder.needs_boxes)
    device = next(encoder.parameters()).device

    @torch.inference_mode()
    def encode(paths: list[Path]) -> VisualFeatures:
        return encoder(load([pictures[path] for path in paths]).to(device))

    boxes = {path: _digest(record) if encoder.needs_boxes else "" for path, record in pictures.items()}
    return FeatureCache.write(folder, encoder.fingerprint(), boxes, encode, dtype, batch_size, complain)


def _pictures(records: Iterable[Record], encoder: Encoder) -> dict[Path, Record]:
    """A record of each picture; where boxes matter, all records of a picture must have the same."""
    pictures: dict[Path, Record] = {}
    for record in records:
        first = pictures.setdefault(record.image, record)
        if encoder.needs_boxes and first.boxes != record.boxes:
            raise DataError(
                f"{record.image} has other boxes in one record than in another, so its features cannot be kept: "
                "set data.init_args.loading.cache to null"
            )
    return pictures


def _stored(encoder: Encoder, pictures: dict[Path, Record], folder: str | Path) -> FeatureCache:
    cache = FeatureCache.open(folder, encoder.fingerprint())
    if missing := [path for path in pictures if path not in cache]:
        raise DataError(
            f"{len(missing)} of {len(pictures)} pictures have no stored regions in {folder}, such as {missing[0]}: "
            "convert theirs (scripts/extract_features.py), or leave them out"
        )
    return cache


def _digest(record: Record) -> str:
    """What stands for a record's boxes."""
    return hashlib.sha256(json.dumps([asdict(box) for box in record.boxes]).encode()).hexdigest()[:16]
