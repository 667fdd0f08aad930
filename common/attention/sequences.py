"""Co-attention of a text and a picture, parallel and alternating (Lu et al. 2016, "Hierarchical Question-Image
Co-Attention"; the released code where its results differ from the paper's equations).

Shapes: B examples, T words and R regions of width D each, hidden width E.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Softmax
from common.attention.positions import expected_value


class CoAttentionOutput(NamedTuple):
    """Both summaries and where each looked."""

    words: Float[Tensor, "B D"]
    regions: Float[Tensor, "B D"]
    word_weights: Float[Tensor, "B T"]
    region_weights: Float[Tensor, "B R"]


class CoAttention(nn.Module, ABC):
    """Attends to words and regions jointly."""

    kind: str

    def __init__(self, dim: int, hidden_dim: int | None = None, dropout: float = 0.0, variant: str = "paper") -> None:
        super().__init__()
        if variant not in ("paper", "code"):
            raise ValueError(f"variant is 'paper' or 'code', got {variant!r}")
        self.dim = dim
        self.hidden_dim = hidden_dim or dim
        self.bias = variant == "code"
        self.dropout = nn.Dropout(dropout)
        self.distribution = Softmax()

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """A linear map, with the biases that the released code has and the paper has not."""
        return nn.Linear(inputs, outputs, bias=self.bias)

    def attend(
        self,
        hidden: Float[Tensor, "B N E"],
        score: nn.Linear,
        values: Float[Tensor, "B N D"],
        keep: Bool[Tensor, "B N"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N"]]:
        """softmax(hidden w) and the weighted sum of the values, [B D] and [B N]."""
        weights = self.distribution(score(self.dropout(hidden)).squeeze(-1), keep)
        return expected_value(weights.unsqueeze(1), values).squeeze(1), weights

    @abstractmethod
    def forward(
        self,
        words: Float[Tensor, "B T D"],
        word_keep: Bool[Tensor, "B T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B D] of words and regions, weights [B T] and [B R]."""


class ParallelCoAttention(CoAttention):
    """Words and regions attend to each other at once, through an affinity matrix (equations 3-5).

        C   = tanh(Q W_b V^T)
        H_v = tanh(V W_v + C^T (Q W_q)),  H_q = tanh(Q W_q + C (V W_v))
        a_v = softmax(H_v w_hv),          a_q = softmax(H_q w_hq)

    `mask_affinity` zeroes C at invalid words and regions, so that padding cannot leak into the other side through it;
    the released code does not.
    """

    kind = "parallel co-attention"

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        variant: Literal["paper", "code"] = "paper",
        mask_affinity: bool = True,
    ) -> None:
        super().__init__(dim, hidden_dim, dropout, variant)
        self.mask_affinity = mask_affinity
        self.map_affinity = self.linear(dim, dim)
        self.map_words = self.linear(dim, self.hidden_dim)
        self.map_regions = self.linear(dim, self.hidden_dim)
        self.score_words = self.linear(self.hidden_dim, 1)
        self.score_regions = self.linear(self.hidden_dim, 1)

    def forward(
        self,
        words: Float[Tensor, "B T D"],
        word_keep: Bool[Tensor, "B T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B D] of words and regions, weights [B T] and [B R]."""
        affinity = torch.tanh(self.map_affinity(words) @ regions.transpose(1, 2))  # [B T R]
        if self.mask_affinity:
            affinity = affinity * (word_keep.unsqueeze(2) & region_keep.unsqueeze(1))
        word_part, region_part = self.map_words(words), self.map_regions(regions)  # [B T E], [B R E]
        region_hidden = torch.tanh(region_part + affinity.transpose(1, 2) @ word_part)
        word_hidden = torch.tanh(word_part + affinity @ region_part)
        region_summary, region_weights = self.attend(region_hidden, self.score_regions, regions, region_keep)
        word_summary, word_weights = self.attend(word_hidden, self.score_words, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)


class GuidedAttention(nn.Module):
    """The operator x^ = A(X; g): H = tanh(X W_x + 1 (W_g g)^T), a = softmax(H w) (Lu et al. 2016, equation 6)."""

    def __init__(self, parent: CoAttention, guided: bool) -> None:
        super().__init__()
        self.map_items = parent.linear(parent.dim, parent.hidden_dim)
        self.map_guide = parent.linear(parent.dim, parent.hidden_dim) if guided else None
        self.score = parent.linear(parent.hidden_dim, 1)

    def forward(self, items: Float[Tensor, "B N D"], guide: Float[Tensor, "B D"] | None) -> Float[Tensor, "B N E"]:
        """The hidden layer H [B N E]; `guide` is None in the first step."""
        mapped = self.map_items(items)
        if self.map_guide is not None and guide is not None:
            mapped = mapped + self.map_guide(guide).unsqueeze(1)
        return torch.tanh(mapped)


class AlternatingCoAttention(CoAttention):
    """Words, then regions guided by the words' summary, then words guided by the regions' (section 3.3, figure 2b).

    The three steps have parameters of their own, as in the released code.
    """

    kind = "alternating co-attention"

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__(dim, hidden_dim, dropout, variant)
        self.first_words = GuidedAttention(self, guided=False)
        self.guided_regions = GuidedAttention(self, guided=True)
        self.guided_words = GuidedAttention(self, guided=True)

    def forward(
        self,
        words: Float[Tensor, "B T D"],
        word_keep: Bool[Tensor, "B T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B D] of words and regions, weights [B T] and [B R]."""
        summary, _ = self.attend(self.first_words(words, None), self.first_words.score, words, word_keep)
        region_hidden = self.guided_regions(regions, summary)
        region_summary, region_weights = self.attend(region_hidden, self.guided_regions.score, regions, region_keep)
        word_hidden = self.guided_words(words, region_summary)
        word_summary, word_weights = self.attend(word_hidden, self.guided_words.score, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)
