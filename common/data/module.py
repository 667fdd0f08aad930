"""What the data modules of both tasks share: sources by split, picture loading, the feature cache, loaders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import lightning
import torch
from torch.utils.data import DataLoader

from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.epochs import EpochLoader, EpochShuffle, WholeBatches
from common.data.features import FeatureCache
from common.data.images import Preprocessing
from common.data.loading import ImageLoader, Record, VisualLoader
from common.data.records import CaptionRecord
from common.errors import ConfigError


@runtime_checkable
class Source(Protocol):
    """A dataset reader."""

    def read(self) -> list[Any]:
        """Its records."""
        ...


SPLITS = ("train", "val", "test")
RecordType = TypeVar("RecordType", bound=Record)
SourceType = TypeVar("SourceType", bound=Source)


@runtime_checkable
class Encoder(Protocol):
    """What the data module must know of the model's image encoder."""

    preprocessing: Preprocessing
    needs_boxes: bool

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


@dataclass(frozen=True)
class Loading:
    """How batches are loaded.

    batch_size: pictures per batch.
    workers: processes that load batches; 0 loads in the training process.
    in_memory: keep decoded pictures in memory, for data sets of small pictures; a cache needs none.
    cache: a folder for the features of a frozen encoder, which then runs once per picture; None computes them anew in
        each epoch.
    """

    batch_size: int = 32
    workers: int = 0
    in_memory: bool = False
    cache: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ConfigError(
                f"batch_size must be at least 1 and workers at least 0, not {self.batch_size}, {self.workers}"
            )


class PictureData(lightning.LightningDataModule, ABC, Generic[RecordType, SourceType]):
    """Pictures with texts, by split.

    Args:
        train, val, test: where each split's records come from; a split that is not used may be left out.
        loading: see `Loading`.
    """

    def __init__(
        self, train: SourceType | None, val: SourceType | None, test: SourceType | None, loading: Loading
    ) -> None:
        super().__init__()
        self.sources = {"train": train, "val": val, "test": test}
        self.loading = loading
        self._records: dict[str, list[RecordType]] = {}
        self._loader: VisualLoader | None = None
        self._words: Sequence[str] = ()

    def records(self, split: str) -> list[RecordType]:
        """The records of a split, read and checked once.

        Raises:
            ConfigError: no source is given for the split.
            DataError: a record cannot be used there.
        """
        if split not in self._records:
            source = self.sources[split]
            if source is None:
                raise ConfigError(f"data.{split} is not set: name where the {split} records come from")
            records = source.read()
            self.check(split, records)
            self._records[split] = records
        return self._records[split]

    @abstractmethod
    def check(self, split: str, records: Sequence[RecordType]) -> None:
        """Raise DataError for records that the task cannot learn from, or be validated or tested with."""

    def attach(self, encoder: Encoder, words: Sequence[str], splits: Collection[str] = SPLITS) -> None:
        """Load pictures as the model's encoder wants them, and texts in the model's vocabulary.

        With `cache`, the features of all pictures of `splits` are computed now, unless they are there already.

        Raises:
            ConfigError: a cache is asked for, but the encoder is trained, or needs boxes.
        """
        self._words = words
        folder = self.loading.cache
        if folder is None:
            self._loader = ImageLoader(encoder.preprocessing, encoder.needs_boxes, self.loading.in_memory)
        else:
            self._loader = CachedFeatures(self._cached(encoder, Path(folder), splits))

    def _cached(self, encoder: Encoder, folder: Path, splits: Collection[str]) -> FeatureCache:
        if not encoder.frozen or encoder.needs_boxes:
            raise ConfigError(
                "data.cache keeps grid features of a frozen encoder: set train_from to null, or cache to null"
            )
        given = [split for split, source in self.sources.items() if source is not None and split in splits]
        paths = dict.fromkeys(record.image for split in given for record in self.records(split))
        images = ImageLoader(encoder.preprocessing)
        device = next(encoder.parameters()).device

        @torch.inference_mode()
        def encode(chunk: list[Path]) -> VisualFeatures:
            return encoder(images([CaptionRecord(path, path.name) for path in chunk]).to(device))

        return FeatureCache.write(folder, encoder.fingerprint(), list(paths), encode)

    @abstractmethod
    def collate(self, split: str, loader: VisualLoader, words: Sequence[str]) -> Callable[[Any], Any]:
        """What makes batches of a split's items."""

    @property
    def visual(self) -> VisualLoader:
        """What loads pictures or features for the attached encoder.

        Raises:
            ConfigError: `attach` has not been called.
        """
        if self._loader is None:
            raise ConfigError("the data module does not know the encoder yet: call attach(encoder, vocabulary) first")
        return self._loader

    def items(self, split: str) -> Sequence[Any]:
        """What a batch is made of: the records, where a task has nothing else in mind."""
        return self.records(split)

    def loader(self, split: str) -> DataLoader[Any]:
        """Batches of a split, the training split's in a new order each epoch, see `EpochLoader`; this process's share.

        Raises:
            ConfigError: `attach` has not been called.
        """
        items: Any = self.items(split)  # a sequence is all that a map-style loader needs
        common: dict[str, Any] = {
            "batch_size": self.loading.batch_size,
            "num_workers": self.loading.workers,
            "collate_fn": self.collate(split, self.visual, self._words),
        }
        if split == "train":
            return EpochLoader(items, sampler=EpochShuffle(len(items)), **common)
        share = WholeBatches(len(items), self.loading.batch_size)
        return DataLoader(items, sampler=share, persistent_workers=self.loading.workers > 0, **common)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the training split."""
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the validation split."""
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test split."""
        return self.loader("test")
