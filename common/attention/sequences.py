"""Co-attention of a text and a picture, parallel and alternating (Lu et al. 2016, "Hierarchical Question-Image
Co-Attention"; the released code where its results differ from the paper's equations).

Shapes: B pictures of R regions, Q questions about each, T words in a question, all of width D; hidden width E. What
depends on the picture alone is computed once for all of its questions.
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

    words: Float[Tensor, "B Q D"]
    regions: Float[Tensor, "B Q D"]
    word_weights: Float[Tensor, "B Q T"]
    region_weights: Float[Tensor, "B Q R"]


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

    def attend_words(
        self,
        hidden: Float[Tensor, "B Q T E"],
        score: nn.Linear,
        words: Float[Tensor, "B Q T D"],
        keep: Bool[Tensor, "B Q T"],
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q T"]]:
        """softmax(hidden w) over each question's words, and their weighted sum."""
        weights = self.distribution(score(self.dropout(hidden)).squeeze(-1), keep)
        return expected_value(weights.unsqueeze(2), words).squeeze(2), weights

    def attend_regions(
        self,
        hidden: Float[Tensor, "B Q R E"],
        score: nn.Linear,
        regions: Float[Tensor, "B R D"],
        keep: Bool[Tensor, "B R"],
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q R"]]:
        """softmax(hidden w) over the regions, for each question, and their weighted sum."""
        weights = self.distribution(score(self.dropout(hidden)).squeeze(-1), keep.unsqueeze(1))
        return expected_value(weights, regions), weights

    @abstractmethod
    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""


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
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""
        shape = words.shape[1:3]  # Q T
        affinity = torch.tanh(self.map_affinity(words).flatten(1, 2) @ regions.transpose(1, 2))  # [B Q*T R]
        if self.mask_affinity:
            affinity = affinity * (word_keep.flatten(1).unsqueeze(2) & region_keep.unsqueeze(1))
        word_part, region_part = self.map_words(words), self.map_regions(regions)  # [B Q T E], [B R E]
        # In place: these are by far the largest tensors, and no product needs its own result for its gradient.
        word_hidden = (affinity @ region_part).unflatten(1, shape).add_(word_part).tanh_()
        from_words = affinity.unflatten(1, shape).transpose(2, 3) @ word_part  # [B Q R E]
        region_hidden = from_words.add_(region_part.unsqueeze(1)).tanh_()
        region_summary, region_weights = self.attend_regions(region_hidden, self.score_regions, regions, region_keep)
        word_summary, word_weights = self.attend_words(word_hidden, self.score_words, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)


class GuidedAttention(nn.Module):
    """The operator x^ = A(X; g): H = tanh(X W_x + 1 (W_g g)^T), a = softmax(H w) (Lu et al. 2016, equation 6)."""

    def __init__(self, parent: CoAttention, guided: bool) -> None:
        super().__init__()
        self.map_items = parent.linear(parent.dim, parent.hidden_dim)
        self.map_guide = parent.linear(parent.dim, parent.hidden_dim) if guided else None
        self.score = parent.linear(parent.hidden_dim, 1)

    def forward(
        self, items: Float[Tensor, "B #Q N D"], guide: Float[Tensor, "B Q D"] | None
    ) -> Float[Tensor, "B Q N E"]:
        """The hidden layer H for each question's guide; `guide` is None in the first step."""
        mapped = self.map_items(items)
        if self.map_guide is not None and guide is not None:
            mapped = mapped + self.map_guide(guide).unsqueeze(2)
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
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""
        summary, _ = self.attend_words(self.first_words(words, None), self.first_words.score, words, word_keep)
        hidden = self.guided_regions(regions.unsqueeze(1), summary)
        region_summary, region_weights = self.attend_regions(hidden, self.guided_regions.score, regions, region_keep)
        hidden = self.guided_words(words, region_summary)
        word_summary, word_weights = self.attend_words(hidden, self.guided_words.score, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)
