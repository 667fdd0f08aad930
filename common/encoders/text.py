"""Texts to word features at several levels: words, phrases, the question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.directional import DirectionalSelfAttention
from common.attention.transformer import TransformerLayer, sinusoids
from common.encoders.words import LearnedEmbedding, WordEmbedding
from common.errors import DataError


class TextFeatures(NamedTuple):
    """The same T words at each level, lowest first; rows of padding are zero."""

    levels: tuple[Float[Tensor, "B T D"], ...]
    keep: Bool[Tensor, "B T"]


class TextEncoder(nn.Module, ABC):
    """Word ids in, features of each word at each level out. `dim` is their width, `level_names` names the levels."""

    dim: int
    level_names: tuple[str, ...]

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D] at each level."""

    def summary(self, features: TextFeatures) -> Float[Tensor, "B D"]:
        """Each text in one vector: the last level at its last word, unless told; zero for a text without words."""
        top = features.levels[-1]
        last = (features.keep.sum(-1) - 1).clamp(min=0)
        return top[torch.arange(len(top), device=top.device), last]


def make_embedding(given: WordEmbedding | None, vocabulary_size: int, dim: int) -> WordEmbedding:
    """The word embedding that is given, or a table from scratch."""
    if given is not None and given.dim != dim:
        raise ValueError(f"embedding: its vectors are {given.dim} wide, the encoder's {dim}: give both the same dim")
    return given or LearnedEmbedding(vocabulary_size, dim)


class HierarchicalTextEncoder(TextEncoder):
    """Words, phrases and the question (Lu et al. 2016, section 3.2).

        word:     Q_w = tanh(E[tokens])
        phrase:   Q_p = tanh(max_s conv_s(Q_w)), windows of s = 1, 2, 3 words
        question: Q_s = LSTM(Q_p)

    `variant`: where a phrase's window lies. "paper": words t .. t+s-1. "code": bigrams (t-1, t), trigrams
    (t-1, t, t+1), as released. `embedding`: E; None is one table.
    """

    level_names = ("word", "phrase", "question")

    def __init__(
        self,
        vocabulary_size: int,
        dim: int = 512,
        layers: int = 2,
        dropout: float = 0.5,
        variant: Literal["paper", "code"] = "paper",
        embedding: WordEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = make_embedding(embedding, vocabulary_size, dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, dim, size) for size in (1, 2, 3))
        self.words_before = {"paper": (0, 0, 0), "code": (0, 1, 1)}[variant]
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D] of words, phrases and the question so far."""
        valid = keep.unsqueeze(-1)  # [B T 1]
        words = self.dropout(torch.tanh(self.embedding(tokens, keep))) * valid
        phrases = self.dropout(torch.tanh(self._phrases(words))) * valid
        question = self.lstm(phrases)[0] * valid
        return TextFeatures((words, phrases, question), keep)

    def _phrases(self, words: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """The greatest of the three n-gram convolutions at each word and feature."""
        sequence = words.transpose(1, 2)  # [B D T]
        grams = [
            convolution(nn.functional.pad(sequence, (before, size - 1 - before)))
            for size, (before, convolution) in enumerate(
                zip(self.words_before, self.convolutions, strict=True), start=1
            )
        ]
        return torch.stack(grams).amax(0).transpose(1, 2)


class TransformerTextEncoder(TextEncoder):
    """A transformer over the words; each layer's output is a level, the last one the question's.

    `embedding`: of the words; None is one table.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int = 512,
        layers: int = 2,
        heads: int = 8,
        dropout: float = 0.1,
        longest: int = 128,
        embedding: WordEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = make_embedding(embedding, vocabulary_size, dim)
        self.register_buffer("positions", sinusoids(torch.arange(longest), dim), persistent=False)
        self.layers = nn.ModuleList(TransformerLayer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.level_names = ("word", *(f"layer {number}" for number in range(1, layers)), "question")

    positions: Tensor

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D] of the embedded words and after each layer.

        Raises:
            DataError: a text has more words than there are positions.
        """
        length = tokens.shape[1]
        if length > len(self.positions):
            raise DataError(f"a text of {length} words, the encoder takes {len(self.positions)}; raise `longest`")
        valid = keep.unsqueeze(-1)  # [B T 1]
        words = self.dropout(self.embedding(tokens, keep) * self.dim**0.5 + self.positions[:length])
        levels = [words * valid]
        for layer in self.layers:
            words, _ = layer(words, keep)
            levels.append(words * valid)
        levels[-1] = self.norm(words) * valid
        return TextFeatures(tuple(levels), keep)


class DirectionalTextEncoder(TextEncoder):
    """Directional self-attention in place of recurrence (Shen et al. 2018, "DiSAN", section 4.2).

        word:     E[tokens]
        question: [forward(words); backward(words)], each `DirectionalSelfAttention` of half the width

    With `SourceToToken` as the pooling of the words it is the paper's network. Time and memory: T * T * D for each
    text of T words. `embedding`: E; None is one table.
    """

    level_names = ("word", "question")

    def __init__(
        self, vocabulary_size: int, dim: int = 512, dropout: float = 0.1, embedding: WordEmbedding | None = None
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"the two directions share the width, which must be even, not {dim}")
        self.dim = dim
        self.embedding = make_embedding(embedding, vocabulary_size, dim)
        self.forwards = DirectionalSelfAttention(dim, dim // 2, "forward", dropout)
        self.backwards = DirectionalSelfAttention(dim, dim // 2, "backward", dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Int[Tensor, "B T"], keep: Bool[Tensor, "B T"]) -> TextFeatures:
        """Features [B T D] of the words by themselves and among the others."""
        words = self.dropout(self.embedding(tokens, keep)) * keep.unsqueeze(-1)
        question = torch.cat([self.forwards(words, keep)[0], self.backwards(words, keep)[0]], -1)
        return TextFeatures((words, question), keep)
