"""What the data modules of both tasks share: sources by split, picture loading, the feature cache, loaders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import lightning
import torch
from torch.utils.data import DataLoader

from common.data.epochs import EpochLoader, EpochShuffle, WholeBatches
from common.data.extraction import CachedFeatures, Encoder, extract
from common.data.loading import ImageLoader, Record, VisualLoader
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


@dataclass(frozen=True)
class Loading:
    """How batches are loaded.

    batch_size: pictures per batch.
    workers: processes that load batches; 0 loads in the training process.
    in_memory: keep decoded pictures in memory, for data sets of small pictures; a cache needs none.
    cache: a folder for the features of a frozen encoder, which then runs once per picture; None computes them anew in
        each epoch. Regions that are stored, not computed, are read from there.
    mirror: show every second training picture, by chance, as in a mirror; for texts that do not tell left from right.
        No features are kept then: mostly for an encoder that is trained, and has none to keep.

    Raises:
        ConfigError: they do not go together.
    """

    batch_size: int = 32
    workers: int = 0
    in_memory: bool = False
    cache: str | None = None
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ConfigError(
                f"batch_size must be at least 1 and workers at least 0, not {self.batch_size}, {self.workers}"
            )
        if self.mirror and self.cache is not None:
            raise ConfigError(
                "mirror shows other pictures than the cache has features of: set data.init_args.loading.cache to null"
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
        self._mirror: VisualLoader | None = None
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
            ConfigError: a cache is asked for, but the encoder is trained, or there is none, and it needs one.
        """
        self._words = words
        folder = self.loading.cache
        if folder is not None:
            given = [split for split, source in self.sources.items() if source is not None and split in splits]
            records = (record for split in given for record in self.records(split))
            self._loader = CachedFeatures(extract(encoder, records, folder))
        elif encoder.needs_cache:
            raise ConfigError(
                "this model reads stored regions: set data.init_args.loading.cache to the folder that has them, as "
                "written by scripts/extract_features.py"
            )
        else:
            way_in = encoder.preprocessing, encoder.needs_boxes, self.loading.in_memory
            self._loader = ImageLoader(*way_in)
            self._mirror = ImageLoader(*way_in, mirror=True) if self.loading.mirror else None

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
        """Batches of a split, the training split's to learn from: in a new order each epoch, see `EpochLoader`, with
        what is drawn or mirrored; those of the others `in_order`. This process's share.

        Raises:
            ConfigError: `attach` has not been called.
        """
        if split != "train":
            return self.in_order(split)
        items: Any = self.items(split)  # a sequence is all that a map-style loader needs
        common = self._settings(split, self._mirror or self.visual)
        return EpochLoader(items, sampler=EpochShuffle(len(items)), **common)

    def in_order(self, split: str) -> DataLoader[Any]:
        """Batches of all that a split has, as it is, to be evaluated: of the training split, too, nothing is drawn or
        mirrored. This process's share.

        Raises:
            ConfigError: `attach` has not been called.
        """
        items: Any = self.items(split)
        share = WholeBatches(len(items), self.loading.batch_size)
        common = self._settings("val" if split == "train" else split, self.visual)
        return DataLoader(items, sampler=share, persistent_workers=self.loading.workers > 0, **common)

    def _settings(self, split: str, visual: VisualLoader) -> dict[str, Any]:
        """What all loaders have in common, with batches as this split has them."""
        return {
            "batch_size": self.loading.batch_size,
            "num_workers": self.loading.workers,
            "collate_fn": self.collate(split, visual, self._words),
            "pin_memory": torch.cuda.is_available(),
        }

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the training split."""
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the validation split."""
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test split."""
        return self.loader("test")
