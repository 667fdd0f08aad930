"""Text encoders of the VQA models that read a question at one level: recurrent, convolutional, and positions alone."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.transformer import sinusoids
from common.encoders.text import TextEncoder, TextFeatures, make_embedding
from common.encoders.words import LearnedEmbedding, WordEmbedding

WINDOWS = (1, 2, 3)  # words


class RecurrentTextEncoder(TextEncoder):
    """An LSTM or a GRU over embedded words; its last state is the question's summary.

    Args:
        embedding_dim: of the words' table; None takes `dim`.
        squash: tanh after the embedding, as in "Show, ask, attend, and answer".
        dropout: of the embedded words, and between the layers.
        embedding: of the words; None is one table.
    """

    level_names = ("question",)

    def __init__(
        self,
        vocabulary_size: int,
        dim: int = 512,
        embedding_dim: int | None = 300,
        cell: Literal["lstm", "gru"] = "lstm",
        layers: int = 1,
        dropout: float = 0.0,
        squash: bool = False,
        embedding: WordEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = embedding or LearnedEmbedding(vocabulary_size, embedding_dim or dim)
        between = dropout if layers > 1 else 0.0
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.recurrence = kind(self.embedding.dim, dim, layers, batch_first=True, dropout=between)
        self.squash = squash
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D]: the state after each word."""
        words = self.embedding(tokens, keep)
        words = self.dropout(torch.tanh(words) if self.squash else words)
        return TextFeatures((self.recurrence(words)[0] * keep.unsqueeze(-1),), keep)


class ConvolutionalTextEncoder(TextEncoder):
    """Convolutions over windows of one, two and three words, side by side (Yang et al. 2016, equations 8-13).

        x_t = E[w_t],  h_s,t = tanh(W_s x_{t:t+s-1} + b_s),  summary = [max_t h_1,t; max_t h_2,t; max_t h_3,t]

    The maximum is over the windows that lie within the question, and that of its first word, which a shorter question
    does not fill; the released code takes windows of padding, too.

    Args:
        dims: of the windows of one, two and three words; their sum is the width.
        embedding_dim: of the words' table.
        embedding: of the words; None is one table.
    """

    level_names = ("question",)

    def __init__(
        self,
        vocabulary_size: int,
        dims: tuple[int, int, int] = (256, 512, 512),
        embedding_dim: int = 500,
        dropout: float = 0.0,
        embedding: WordEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.dim = sum(dims)
        self.dims = dims
        self.embedding = embedding or LearnedEmbedding(vocabulary_size, embedding_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(self.embedding.dim, dim, size) for dim, size in zip(dims, WINDOWS, strict=True)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D]: the three windows that begin at each word."""
        valid = keep.unsqueeze(-1)
        words = (self.dropout(self.embedding(tokens, keep)) * valid).transpose(1, 2)  # [B E T]
        windows = [
            torch.tanh(convolve(nn.functional.pad(words, (0, size - 1))))
            for convolve, size in zip(self.convolutions, WINDOWS, strict=True)
        ]
        return TextFeatures((torch.cat(windows, 1).transpose(1, 2) * valid,), keep)

    def summary(self, features: TextFeatures) -> Float[Tensor, "B D"]:
        """The greatest value of each feature; zero for a text without words."""
        keep, (windows,) = features.keep, features.levels
        place = torch.arange(keep.shape[1], device=keep.device)
        counted = [
            (keep & ((place + size <= keep.sum(-1, keepdim=True)) | (place == 0))).unsqueeze(-1).expand(-1, -1, dim)
            for dim, size in zip(self.dims, WINDOWS, strict=True)
        ]
        windows = windows.masked_fill(~torch.cat(counted, -1), -1.0)  # no tanh is below
        return windows.amax(1) * keep.any(-1, keepdim=True)


class PositionalTextEncoder(TextEncoder):
    """E[w_t] sqrt(D) plus sinusoids (Vaswani et al. 2017, section 3.5): words that attention alone will read, in order.

    `embedding`: of the words; None is one table.
    """

    level_names = ("question",)

    def __init__(
        self, vocabulary_size: int, dim: int = 512, dropout: float = 0.1, embedding: WordEmbedding | None = None
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = make_embedding(embedding, vocabulary_size, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D] of the words, each by itself."""
        words = self.embedding(tokens, keep) * self.dim**0.5
        places = sinusoids(torch.arange(tokens.shape[1], device=tokens.device), self.dim).to(words.dtype)
        return TextFeatures((self.dropout(words + places) * keep.unsqueeze(-1),), keep)

    def summary(self, features: TextFeatures) -> Float[Tensor, "B D"]:
        """The mean of the words; zero for a text without words."""
        return features.levels[-1].sum(1) / features.keep.sum(-1, keepdim=True).clamp(min=1)
