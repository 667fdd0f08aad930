"""Captioned pictures for training and evaluation: records -> batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from common.attention import VisualFeatures
from common.data.batches import ImageBatch, Transferable
from common.data.loading import VisualLoader, pad_texts
from common.data.module import Loading, PictureData
from common.data.readers import CaptionSource
from common.data.records import CaptionRecord
from common.data.tokenizer import tokenize
from common.data.vocabulary import END, START, Vocabulary
from common.errors import DataError


@dataclass(frozen=True)
class CaptionBatch(Transferable):
    """B pictures with up to Q captions each; the encoder runs once for all captions of a picture.

    tokens: word ids from the start to the end, filled up with 0. keep: what is valid of them; a picture with fewer
    than Q captions has rows that are not valid at all.
    """

    visual: ImageBatch | VisualFeatures
    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    records: tuple[CaptionRecord, ...]


class CaptionCollate:
    """Makes a batch of records; `captions` limits how many of a picture's captions are drawn (None: all)."""

    def __init__(self, loader: VisualLoader, vocabulary: Vocabulary, captions: int | None, longest: int) -> None:
        self.loader = loader
        self.vocabulary = vocabulary
        self.captions = captions
        self.longest = longest
        self._encoded: dict[str, list[int]] = {}

    def __call__(self, records: Sequence[CaptionRecord]) -> CaptionBatch:
        """Token ids [B Q T] and pictures."""
        tokens, keep = pad_texts(
            [[self._encode(caption) for caption in self._draw(record.captions)] for record in records]
        )
        return CaptionBatch(self.loader(records), tokens, keep, tuple(records))

    def _draw(self, captions: Sequence[str]) -> Sequence[str]:
        if self.captions is None or len(captions) <= self.captions:
            return captions
        return [captions[index] for index in torch.randperm(len(captions))[: self.captions].tolist()]

    def _encode(self, caption: str) -> list[int]:
        if caption not in self._encoded:
            # A caption that is cut has no end there, or the model would learn to stop in the middle.
            words = [START, *self.vocabulary.encode(tokenize(caption)), END]
            self._encoded[caption] = words[: self.longest + 2]
        return self._encoded[caption]


class CaptioningData(PictureData[CaptionRecord, CaptionSource]):
    """Captioned pictures by split; see `PictureData` for the arguments that both tasks share.

    Args:
        captions_per_image: how many captions of a picture a training batch has, drawn anew each time; None takes all.
        minimum_count: words seen less often in the training captions are unknown.
        longest: captions are cut after so many words; a batch takes as many steps as its longest caption has.
    """

    def __init__(
        self,
        train: CaptionSource | None = None,
        val: CaptionSource | None = None,
        test: CaptionSource | None = None,
        loading: Loading = Loading(),
        captions_per_image: int | None = None,
        minimum_count: int = 5,
        longest: int = 40,
    ) -> None:
        super().__init__(train, val, test, loading)
        self.captions_per_image = captions_per_image
        self.minimum_count = minimum_count
        self.longest = longest

    def check(self, split: str, records: Sequence[CaptionRecord]) -> None:
        """Raise DataError where a picture has no caption; those of "test" need none."""
        if split != "test" and (bare := [record.image for record in records if not record.captions]):
            raise DataError(
                f"{bare[0]}: no caption, as {len(bare)} of {len(records)} pictures of the {split} split: "
                "give each one, or leave it out"
            )

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words of the training captions; a plain list, so that it can go into a checkpoint."""
        captions = (caption for record in self.records("train") for caption in record.captions)
        return list(Vocabulary.build(map(tokenize, captions), self.minimum_count).words)

    def collate(self, split: str, loader: VisualLoader, words: Sequence[str]) -> CaptionCollate:
        """What makes batches of a split; `words` is the model's vocabulary."""
        captions = self.captions_per_image if split == "train" else None
        return CaptionCollate(loader, Vocabulary(words), captions, self.longest)
