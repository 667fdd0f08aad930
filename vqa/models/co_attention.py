"""Models of one co-attention over words and regions: bilinear attention networks and MCAN."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import VisualFeatures
from common.encoders import TextEncoder
from vqa.models.base import VQAModel, VQAOutput, one_level, perceptron
from vqa.models.hierarchical import CoAttentionFactory


class SingleCoAttention(VQAModel):
    """Co-attention of the words' last level and the regions, whose two summaries are added up and classified."""

    level_names = ("question",)

    def __init__(self, text: TextEncoder, co_attention: CoAttentionFactory, key_dim: int) -> None:
        super().__init__()
        self.text = text
        self.attention = co_attention(dim=text.dim, query_dim=text.dim, key_dim=key_dim)
        self.kind, self.part_axis = self.attention.kind, self.attention.part_axis

    @abstractmethod
    def embed(self, regions: Float[Tensor, "B R V"]) -> Float[Tensor, "B R E"]:
        """The regions as the co-attention wants them."""

    @abstractmethod
    def classify(self, fused: Float[Tensor, "B Q S"]) -> Float[Tensor, "B Q A"]:
        """Logits of the answers."""

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
        words = self.text(tokens.flatten(0, 1), keep.flatten(0, 1)).levels[-1].unflatten(0, keep.shape[:2])
        attended = self.attention(words, keep, self.embed(features.values), features.keep, features.layout)
        return VQAOutput(
            self.classify(attended.words + attended.regions),
            one_level(attended.region_weights),
            one_level(attended.word_weights),
            one_level(attended.region_parts),
        )


class BilinearAttentionNetwork(SingleCoAttention):
    """Bilinear attention networks (Kim, Jun & Zhang 2018): glimpses with residuals, and the sum over the words.

        Q = GRU(words),  Q <- Q + P_g BAN_g(Q, V) 1^T for g = 1..G,  logits = W_2 relu(W_1 sum_j q_j)

    Everything but the last line is `BilinearCoAttention`, which takes the regions as the encoder gives them. The
    logits are those of sigmoids: train with `BinaryCrossEntropy`. The paper's counter of objects is left out.

    Args:
        co_attention: a `BilinearCoAttention`.
        hidden_dim: rows of W_1; None takes twice the words' width, as released.
        dropout: before W_1 and W_2.
    """

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        co_attention: CoAttentionFactory,
        hidden_dim: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(text, co_attention, region_dim)
        self.map_answers = perceptron(text.dim, hidden_dim or 2 * text.dim, answers, dropout)

    def embed(self, regions: Float[Tensor, "B R V"]) -> Float[Tensor, "B R V"]:
        """The regions as they are."""
        return regions

    def classify(self, fused: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q A"]:
        """Logits of the answers."""
        return self.map_answers(fused)


class ModularCoAttentionNetwork(SingleCoAttention):
    """Deep modular co-attention networks (Yu et al. 2019, MCAN, section 4).

        Y = LSTM(words),  X = W_x V + b,  logits = W LN(x~ + y~)

    with the summaries x~ and y~ of `GuidedCoAttention`. The logits are those of sigmoids: train with
    `BinaryCrossEntropy`. Without recurrence the words need their places: `PositionalTextEncoder`.

    Args:
        co_attention: a `GuidedCoAttention`.
    """

    def __init__(self, region_dim: int, answers: int, text: TextEncoder, co_attention: CoAttentionFactory) -> None:
        super().__init__(text, co_attention, text.dim)
        self.embed_regions = nn.Linear(region_dim, text.dim)
        width = self.attention.summary_dim or text.dim
        self.norm = nn.LayerNorm(width)
        self.map_answers = nn.Linear(width, answers)

    def embed(self, regions: Float[Tensor, "B R V"]) -> Float[Tensor, "B R D"]:
        """In the words' width."""
        return self.embed_regions(regions)

    def classify(self, fused: Float[Tensor, "B Q S"]) -> Float[Tensor, "B Q A"]:
        """Logits of the answers."""
        return self.map_answers(self.norm(fused))
