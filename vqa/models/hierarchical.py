"""Hierarchical question-image co-attention (Lu et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from common.attention import CoAttention, RecursiveEncoding, VisualFeatures
from common.encoders import TextEncoder
from common.errors import ConfigError, nearest
from vqa.models.base import VQAModel, VQAOutput, embedded, region_embedding


@runtime_checkable
class CoAttentionFactory(Protocol):
    """Makes co-attention for words and regions of one width."""

    def __call__(self, *, dim: int, query_dim: int, key_dim: int) -> CoAttention:
        """Co-attention of words [B Q T dim] and regions [B R dim]; attention within it has the same widths."""
        ...


def _chosen(levels: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The levels asked for, in the text's order."""
    for name in levels or ():
        if name not in known:
            raise ConfigError(f"levels: the text has no level {name!r}{nearest(name, known)}")
    chosen = tuple(name for name in known if levels is None or name in levels)
    if not chosen:
        raise ConfigError(f"levels: name at least one of {', '.join(known)}")
    return chosen


class HierarchicalCoAttention(VQAModel):
    """Co-attention at each level of the question on the same picture, joined from the lowest level up (section 3).

    Args:
        text: the question's levels.
        levels: the names of those levels that are attended to, such as ["question"]; None takes all.
        co_attention: makes the co-attention of one level; each level has its own weights.
        answer_dims: the widths of h_w, h_p and h_s, one for each level; None makes all as wide as the text.
        dropout: of the regions' embedding and before each layer of the answer, as in the released code.
        embed_regions: False takes the regions as the encoder gives them, for attention that tells their features apart
            (`MixedSources`); the text's width must then be theirs.
        places: adds each region's place to its embedding (`embedded`), for questions of where things are.
    """

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        co_attention: CoAttentionFactory,
        levels: list[str] | None = None,
        answer_dims: list[int] | None = None,
        dropout: float = 0.5,
        embed_regions: bool = True,
        places: bool = False,
    ) -> None:
        super().__init__()
        self.level_names = _chosen(levels, text.level_names)
        widths: Sequence[int] = answer_dims or [text.dim] * len(self.level_names)
        if len(widths) != len(self.level_names):
            raise ValueError(f"{len(widths)} answer_dims for the levels {', '.join(self.level_names)}")
        dim = text.dim
        if not embed_regions and region_dim != dim:
            raise ConfigError(f"embed_regions: the regions are {region_dim} wide; give the text that dim, not {dim}")
        self.text = text
        self.places = places
        # Not in the paper; the released code brings the regions to the words' width so.
        embedding = region_embedding(region_dim, dim, dropout)
        self.embed_regions = embedding if embed_regions else nn.Identity()
        self.levels = nn.ModuleList(co_attention(dim=dim, query_dim=dim, key_dim=dim) for _ in self.level_names)
        self.kind, self.part_axis = self.levels[0].kind, self.levels[0].part_axis  # type: ignore[assignment]
        self.recursion = RecursiveEncoding(self.levels[0].summary_dim or dim, widths, dropout)  # type: ignore[arg-type]
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], answers))

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture; its regions are embedded once for all."""
        regions = embedded(self.embed_regions, features, self.places)
        text = self.text(tokens.flatten(0, 1), keep.flatten(0, 1))
        chosen = [
            words for name, words in zip(self.text.level_names, text.levels, strict=True) if name in self.level_names
        ]
        attended = [
            attend(words.unflatten(0, keep.shape[:2]), keep, regions, features.keep, features.layout)
            for attend, words in zip(self.levels, chosen, strict=True)
        ]
        encoded = self.recursion([level.words + level.regions for level in attended])
        return VQAOutput(
            self.classify(encoded),
            torch.stack([level.region_weights for level in attended], 2),
            torch.stack([level.word_weights for level in attended], 2),
            None if self.part_axis is None else torch.stack([level.region_parts for level in attended], 2),
        )
