"""Hierarchical question-image co-attention (Lu et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import CoAttention, RecursiveEncoding, VisualFeatures
from common.encoders import TextEncoder
from vqa.models.base import VQAModel, VQAOutput


class CoAttentionFactory(Protocol):
    """Makes co-attention for words and regions of one width."""

    def __call__(self, *, dim: int) -> CoAttention:
        """Co-attention of words [N T dim] and regions [N R dim]."""
        ...


class HierarchicalCoAttention(VQAModel):
    """Co-attention at each level of the question on the same picture, joined from the lowest level up (section 3).

    Args:
        text: the question's levels; their names are the model's.
        co_attention: makes the co-attention of one level; each level has its own weights.
        answer_dims: the widths of h_w, h_p and h_s, one for each level; None makes all as wide as the text.
        dropout: of the regions' embedding and before each layer of the answer, as in the released code.
    """

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        co_attention: CoAttentionFactory,
        answer_dims: list[int] | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.level_names = text.level_names
        widths: Sequence[int] = answer_dims or [text.dim] * len(self.level_names)
        if len(widths) != len(self.level_names):
            raise ValueError(f"{len(widths)} answer_dims for the levels {', '.join(self.level_names)}")
        self.text = text
        # Not in the paper; the released code brings the regions to the words' width so.
        self.embed_regions = nn.Sequential(nn.Linear(region_dim, text.dim), nn.Tanh(), nn.Dropout(dropout))
        self.levels = nn.ModuleList(co_attention(dim=text.dim) for _ in self.level_names)
        self.kind = self.levels[0].kind  # type: ignore[assignment]
        self.recursion = RecursiveEncoding(text.dim, widths, dropout)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], answers))

    def forward(
        self,
        features: VisualFeatures,
        image_index: Int[Tensor, " N"],
        tokens: Int[Tensor, "N T"],
        keep: Bool[Tensor, "N T"],
    ) -> VQAOutput:
        """Logits [N A] for questions [N T]; question n is about picture image_index[n]."""
        regions = self.embed_regions(features.values)[image_index]  # [N R D], embedded once per picture
        region_keep = features.keep[image_index]
        text = self.text(tokens, keep)
        attended = [
            level(words, keep, regions, region_keep) for level, words in zip(self.levels, text.levels, strict=True)
        ]
        encoded = self.recursion([level.words + level.regions for level in attended])
        return VQAOutput(
            self.classify(encoded),
            torch.stack([level.region_weights for level in attended], 1),
            torch.stack([level.word_weights for level in attended], 1),
        )


class QuestionOnly(VQAModel):
    """The same question encoder without the picture: what the answers give away by themselves."""

    kind = "none"
    level_names = ()

    def __init__(self, answers: int, text: TextEncoder, dropout: float = 0.5) -> None:
        super().__init__()
        self.text = text
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(text.dim, answers))

    def forward(
        self,
        features: VisualFeatures,
        image_index: Int[Tensor, " N"],
        tokens: Int[Tensor, "N T"],
        keep: Bool[Tensor, "N T"],
    ) -> VQAOutput:
        """Logits [N A] for questions [N T], from the last word's state; the features [B R D] are not used."""
        levels = self.text(tokens, keep).levels
        last = (keep.sum(-1) - 1).clamp(min=0)
        question: Float[Tensor, "N D"] = levels[-1][torch.arange(len(tokens)), last]
        return VQAOutput(self.classify(question), None, None)
