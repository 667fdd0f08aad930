"""What every objective is to the module: it takes a batch as the model sees it and returns named loss terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from captioning.decoders import Decoder, TeacherForced
from common.attention import VisualFeatures
from common.data.records import CaptionRecord


@dataclass(frozen=True)
class Captions:
    """A batch as the objectives see it: B pictures with up to Q given captions of up to T words, the end among them.

    features: of the pictures, worked out once for all objectives.
    inputs: what the decoder reads before each word: the word before it, the start first.
    targets: the words. keep: which of them are valid.
    records: where the pictures and captions come from.
    """

    decoder: Decoder[Any]
    features: VisualFeatures
    inputs: Int[Tensor, "B Q T"]
    targets: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    records: Sequence[CaptionRecord]

    @cached_property
    def output(self) -> TeacherForced:
        """What the decoder makes of the inputs, for all objectives that want it; run when it is first asked for."""
        return self.decoder(self.features, self.inputs, self.keep)


class Objective(nn.Module, ABC):
    """Loss terms of a batch, weighted; the module adds up those of all objectives."""

    def prepare(self, records: Sequence[CaptionRecord]) -> None:
        """Learn what there is to know of the training split's records before the first batch.

        Raises:
            DataError: they lack what the objective needs.
        """
        return

    @abstractmethod
    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """Scalars by name."""

    def counted(self, captions: Captions) -> Mapping[str, Int[Tensor, ""]]:
        """Over how many words, captions or what else each term is a mean, where that is not the pictures of the batch:
        so that means of batches make a mean of all in validation."""
        return {}

    def readings(self) -> Mapping[str, float]:
        """What the last batch showed besides the terms, to be logged by name."""
        return {}
