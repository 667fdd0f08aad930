"""What the objectives' tests share: a decoder's output as if it were so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captioning.decoders import Decoder, TeacherForced
from captioning.objectives import Captions
from common.attention import Grid, VisualFeatures
from common.data.records import CaptionRecord


class Answering(Decoder[Any]):
    """A decoder whose output is given, and which can do nothing else."""

    kind = "given"

    def __init__(self, output: TeacherForced) -> None:
        super().__init__()
        self.output = output
        self.asked = 0

    def start(self, features: VisualFeatures, sequences: int = 1) -> Any:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: Any) -> Any:
        raise NotImplementedError

    def forward(self, features: VisualFeatures, tokens: Tensor, keep: Tensor) -> TeacherForced:
        self.asked += 1
        return self.output


def given_to(
    output: TeacherForced, targets: Tensor, keep: Tensor, regions: Tensor, records: tuple[CaptionRecord, ...] = ()
) -> Captions:
    """A batch on which the decoder's output is this; its regions are the cells of a grid of one row."""
    batch, count = regions.shape
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4)
    features = VisualFeatures(torch.zeros(batch, count, 1), regions, Grid(1, count, view))
    return Captions(Answering(output), features, targets, targets, keep, records)


def valid(*lengths: list[int]) -> Tensor:
    """keep [B Q T] of captions of these lengths."""
    counts = torch.tensor(lengths)
    return torch.arange(int(counts.max())) < counts.unsqueeze(-1)


def given(keep: Tensor, words: int = 5, regions: int = 4) -> tuple[TeacherForced, Tensor]:
    """A decoder's output and targets, both at random."""
    log_probs = torch.randn(int(keep.sum()), words).double().log_softmax(-1)
    weights = torch.rand(*keep.shape, regions).double()
    return TeacherForced(log_probs, weights), torch.randint(0, words, keep.shape)


def all_regions(batch: int, regions: int = 4) -> Tensor:
    return torch.ones(batch, regions, dtype=torch.bool)
