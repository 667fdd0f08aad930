"""Show, ask, attend, and answer (Kazemi and Elqursh 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from common.attention import GlimpseAttention, VisualFeatures
from common.encoders import TextEncoder
from vqa.models.base import VQAModel, VQAOutput, one_level, perceptron, summarise


class ShowAskAttendAnswer(VQAModel):
    """Two glimpses at the regions, side by side with the question, to the answer (section 3).

        v_i brought to length one,  x_g = sum_i a_gi v_i,  logits = W_2 relu(W_1 [x_1; ...; x_G; q])

    with a of `GlimpseAttention` and dropout before W_1 and W_2.

    Args:
        glimpses: G.
        attention_dim: of the attention's hidden layer.
        hidden_dim: rows of W_1.
        dropout: of the attention's hidden layer, too.
    """

    kind = "glimpses"
    level_names = ("question",)
    part_axis = "glimpse"

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        glimpses: int = 2,
        attention_dim: int = 512,
        hidden_dim: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.text = text
        self.attention = GlimpseAttention(text.dim, region_dim, glimpses, attention_dim, join=False, dropout=dropout)
        self.classify = perceptron(glimpses * region_dim + text.dim, hidden_dim, answers, dropout)

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
        regions = nn.functional.normalize(features.values, dim=-1)
        question = summarise(self.text, tokens, keep)
        looked = self.attention(question, self.attention.prepare(regions, features.keep, layout=features.layout))
        logits = self.classify(torch.cat([looked.context, question], -1))
        return VQAOutput(logits, one_level(looked.weights), region_parts=one_level(looked.parts))
