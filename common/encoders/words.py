"""Word ids to vectors: one learned table, or several mixed word by word."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.distributions import Distribution
from common.attention.representations import SourceMixture

READER_DIM = 2  # of the small LSTM, in each direction (Kiela et al. 2018, section 3.2)


class WordEmbedding(nn.Module, ABC):
    """A vector of width `dim` for each word of a text."""

    dim: int

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Vectors [B T D] of words; what stands at padding is not to be read."""


class LearnedEmbedding(WordEmbedding):
    """One table, from scratch; padding is zero."""

    def __init__(self, vocabulary_size: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.randn(vocabulary_size, dim))
        nn.init.zeros_(self.weight[0])

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Vectors [B T D] of words."""
        return nn.functional.embedding(tokens, self.weight, padding_idx=0)


class DynamicMetaEmbedding(WordEmbedding):
    """Several tables, mixed anew for each word (Kiela et al. 2018, "Dynamic Meta-Embeddings", equations 1-3).

        w'_ij = P_i w_ij + b_i,  alpha_ij = softmax_i(a . w'_ij + b),  w_j = sum_i alpha_ij w'_ij

    Args:
        widths: of the tables.
        contextual: judge w'_ij by what a small bidirectional LSTM, one for all tables, makes of it within its text
            (CDME, their section 3.2), so that a word's mixture depends on its neighbours.
        distribution: how the tables share: softmax, or sigmoid for gates that do not compete.
        variant: "code": a ReLU after the sum, as in the released code, with which the paper's numbers were made.

    Time and memory: M times that of one table, and M D^2 for the projections of each word.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        widths: list[int],
        contextual: bool = False,
        distribution: Distribution | None = None,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths is empty: name one table at least, such as [100, 300]")
        self.dim = dim
        self.tables = nn.ModuleList(LearnedEmbedding(vocabulary_size, width) for width in widths)
        self.projections = nn.ModuleList(nn.Linear(width, dim) for width in widths)
        self.reader = BothWaysReader(dim, READER_DIM) if contextual else None
        self.mixture = SourceMixture(2 * READER_DIM if contextual else dim, distribution)
        self.activation = nn.ReLU() if variant == "code" else nn.Identity()

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Vectors [B T D] of words."""
        return self.activation(self.mix(tokens, keep)[0])

    def mix(
        self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T M"]]:
        """The mixtures [B T D] and the share of each table in them, to be looked at."""
        sources = torch.stack(
            [project(table(tokens, keep)) for project, table in zip(self.projections, self.tables, strict=True)], 2
        )  # [B T M D]
        if self.reader is None:
            return self.mixture(sources)
        texts = sources.transpose(1, 2).flatten(0, 1)  # [B*M T D]
        read = self.reader(texts, keep.repeat_interleave(len(self.tables), 0))
        return self.mixture(sources, read.unflatten(0, (len(tokens), -1)).transpose(1, 2))


class BothWaysReader(nn.Module):
    """A bidirectional LSTM whose backward half begins at each text's own last word, without packing."""

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(input_dim, dim, batch_first=True)
        self.backwards = nn.LSTM(input_dim, dim, batch_first=True)

    def forward(self, items: Float[Tensor, "B T D"], keep: Bool[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """States [B T 2*dim] of texts whose valid words come first; what stands at padding is not to be read."""
        position = torch.arange(keep.shape[1], device=keep.device)
        mirrored = (keep.sum(-1, keepdim=True) - 1 - position).clamp(min=0).unsqueeze(-1)  # [B T 1]
        backwards = self.backwards(items.gather(1, mirrored.expand_as(items)))[0]
        backwards = backwards.gather(1, mirrored.expand_as(backwards))
        return torch.cat([self.forwards(items)[0], backwards], -1)
