"""Bottom-up and top-down attention for VQA (Anderson et al. 2018, section 3.3; Teney et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import Attention, AttentionMechanism, GatedScore, VisualFeatures
from common.encoders import TextEncoder
from vqa.models.base import VQAModel, VQAOutput, one_level, summarise


class GatedTanh(nn.Module):
    """tanh(W x + b) * sigmoid(W' x + b'), with the weights of Glorot and Bengio 2010 and no offsets to begin with.

    Products of several f would be next to nothing with PyTorch's own, a third of the variance and random offsets.
    """

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__()
        self.map_value = nn.Linear(input_dim, dim)
        self.map_gate = nn.Linear(input_dim, dim)
        for layer in (self.map_value, self.map_gate):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, items: Float[Tensor, "*B E"]) -> Float[Tensor, "*B D"]:
        """Each item in the output's width."""
        return torch.tanh(self.map_value(items)) * torch.sigmoid(self.map_gate(items))


class BottomUpTopDown(VQAModel):
    """One look at the regions, joined with the question by a product of gated tanh layers f.

        a = softmax(w . f_a([v_i; q])),  h = f_q(q) * f_v(sum_i a_i v_i),  logits = W f_o(h)

    "Bottom-up" regions are boxes (`RegionEncoder`); a grid does as well. The logits are those of sigmoids: train with
    `BinaryCrossEntropy`.

    Args:
        attention: makes the look; None takes the paper's, `GatedScore` of width `hidden_dim`.
        hidden_dim: of every f.
        dropout: before f_o and W.
        normalise: bring each region to mean 0 and variance 1 first; the paper takes them as they are. Where regions are
            nearly the same, f_v soon says the same of all, tanh saturates, and the question is answered blindly.
    """

    level_names = ("question",)

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        attention: Callable[..., AttentionMechanism] | None = None,
        hidden_dim: int = 512,
        dropout: float = 0.0,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.text = text
        self.normalise = nn.LayerNorm(region_dim, elementwise_affine=False) if normalise else nn.Identity()
        make = attention or partial(_gated_attention, hidden_dim=hidden_dim)
        self.attention = make(query_dim=text.dim, key_dim=region_dim)
        self.kind, self.part_axis = self.attention.kind, self.attention.part_axis
        self.map_question = GatedTanh(text.dim, hidden_dim)
        self.map_picture = GatedTanh(region_dim, hidden_dim)
        self.classify = nn.Sequential(
            nn.Dropout(dropout), GatedTanh(hidden_dim, hidden_dim), nn.Dropout(dropout), nn.Linear(hidden_dim, answers)
        )

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
        question = summarise(self.text, tokens, keep)
        prepared = self.attention.prepare(self.normalise(features.values), features.keep, layout=features.layout)
        looked = self.attention(question, prepared)
        logits = self.classify(self.map_question(question) * self.map_picture(looked.context))
        return VQAOutput(logits, one_level(looked.weights), region_parts=one_level(looked.parts))


def _gated_attention(query_dim: int, key_dim: int, hidden_dim: int) -> AttentionMechanism:
    return Attention(GatedScore(query_dim, key_dim, hidden_dim))
