"""Deep co-attention of self- and guided attention (Yu et al. 2019, "Deep Modular Co-Attention Networks", MCAN).

Shapes: B pictures of R regions, Q questions about each, T words in a question, all of width D; H heads, G glimpses.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Softmax
from common.attention.maps import Boxes, Grid
from common.attention.sequences import CoAttention, CoAttentionOutput
from common.attention.transformer import MultiHeadAttention, feed_forward


class UnbiasedLayerNorm(nn.Module):
    """a (x - mean) / (std + 1e-6) + b, std with n - 1: the layer norm of MCAN's released code."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, items: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Each item with mean `bias` and spread `weight`."""
        wide = items.float() if items.dtype in (torch.float16, torch.bfloat16) else items
        normed = (wide - wide.mean(-1, keepdim=True)) / (wide.std(-1, keepdim=True) + 1e-6)
        return (self.weight * normed + self.bias).to(items.dtype)


def _make_norm(dim: int, variant: str) -> nn.Module:
    if variant not in ("paper", "code"):
        raise ValueError(f"variant is 'paper' or 'code', got {variant!r}")
    return nn.LayerNorm(dim) if variant == "paper" else UnbiasedLayerNorm(dim)


class AttentionUnit(nn.Module):
    """LN(x + MHA(x, y, y)): self-attention where y is x, guided attention where it is not (section 3.1).

    There may be several guides y to each x, B = P, 2 P, ...: what is of x alone is worked out once.
    """

    def __init__(self, dim: int, heads: int, dropout: float, variant: str) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.norm = _make_norm(dim, variant)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "_P N D"], guide: Float[Tensor, "B M D"], keep: Bool[Tensor, "B M"]
    ) -> Float[Tensor, "B N D"]:
        """The items, having looked at the guide where it is valid."""
        projected = self.attention.project(guide, keep)
        context = self.dropout(self.attention.context(items, projected))
        if len(items) != len(guide):
            items = items.repeat_interleave(len(guide) // len(items), 0)
        return self.norm(items + context)

    def attend(
        self, items: Float[Tensor, "B N D"], guide: Float[Tensor, "B M D"], keep: Bool[Tensor, "B M"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B H N M"]]:
        """The items, and the weights of each head."""
        context, weights = self.attention(items, guide, keep)
        return self.norm(items + self.dropout(context)), weights


class FeedForwardUnit(nn.Module):
    """LN(x + FFN(x)), the same unit for words and regions."""

    def __init__(self, dim: int, dropout: float, variant: str) -> None:
        super().__init__()
        self.map = feed_forward(dim, dropout)
        self.norm = _make_norm(dim, variant)
        self.dropout = nn.Dropout(dropout)

    def forward(self, items: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Each item by itself."""
        return self.norm(items + self.dropout(self.map(items)))


class AttentionFlattening(nn.Module):
    """G looks at the items by what each says alone, joined to one vector (section 3.3, equation 5).

    a_g = softmax(MLP(x)_g),  x~ = W [sum_i a_1i x_i; ...; sum_i a_Gi x_i]
    """

    def __init__(self, dim: int, glimpses: int, hidden_dim: int, dropout: float, output_dim: int | None = None) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, glimpses)
        )
        self.join = nn.Linear(glimpses * dim, output_dim or dim)
        self.distribution = Softmax()

    def forward(
        self, items: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B G N"]]:
        """The joined summary [B S] and the weights of each glimpse [B G N]."""
        weights = self.distribution(self.score(items).transpose(1, 2), keep.unsqueeze(1))
        return self.join((weights.to(items.dtype) @ items).flatten(1)), weights


class GuidedCoAttention(CoAttention):
    """L layers of self-attention among the words, and L of self- and guided attention of the regions (section 3.2).

        SA(y):     y = LN(y + MHA(y, y, y)),  y = LN(y + FFN(y))
        SGA(x, y): x = LN(x + MHA(x, x, x)),  x = LN(x + MHA(x, y, y)),  x = LN(x + FFN(x))
        words:     Y^l = SA(Y^{l-1});  regions: X^l = SGA(X^{l-1}, Y), Y = Y^L or Y^l as `order` says
        summaries: attention flattening of Y^L and of X^L

    The weights and parts are those of the flattening: the one place where regions and words have one distribution
    each; within the layers each region has its own. They tell which regions, after having looked at each other and
    the words, made the summary.

    The regions depend on the question from the first guided attention on: from there each question has regions of its
    own, B Q R D numbers, B Q H R (R + T) weights and as much more time. What comes before is done once for each
    picture. The words know their order only as far as the text encoder has written it into them (in the paper an
    LSTM).

    Args:
        order: "encoder-decoder": every layer of the regions is guided by the last of the words; "stacking": by that of
            its own depth, which the paper finds weaker.
        glimpses: G of the flattening.
        hidden_dim: of the flattening's MLP; None takes D.
        summary_dim: of the summaries; None takes D. The paper's are 2 D wide.
        variant: "code" takes the released layer norm, with the unbiased spread.
    """

    kind = "guided co-attention"

    def __init__(
        self,
        dim: int,
        layers: int = 6,
        heads: int = 8,
        order: Literal["encoder-decoder", "stacking"] = "encoder-decoder",
        glimpses: int = 1,
        hidden_dim: int | None = None,
        summary_dim: int | None = None,
        dropout: float = 0.1,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        if order not in ("encoder-decoder", "stacking"):
            raise ValueError(f"order is 'encoder-decoder' or 'stacking', got {order!r}")
        if layers < 1 or glimpses < 1:
            raise ValueError(f"at least one layer and one glimpse are needed, got {layers} and {glimpses}")

        def looks() -> nn.ModuleList:
            return nn.ModuleList(AttentionUnit(dim, heads, dropout, variant) for _ in range(layers))

        def thoughts() -> nn.ModuleList:
            return nn.ModuleList(FeedForwardUnit(dim, dropout, variant) for _ in range(layers))

        self.order = order
        self.part_axis = "glimpse" if glimpses > 1 else None
        self.words_to_words, self.word_maps = looks(), thoughts()
        self.regions_to_regions, self.regions_to_words, self.region_maps = looks(), looks(), thoughts()
        self.summary_dim = summary_dim
        flattening = dim, glimpses, hidden_dim or dim, dropout, summary_dim
        self.flatten_words, self.flatten_regions = (AttentionFlattening(*flattening) for _ in range(2))

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q S] of words and regions, weights [B Q T] and [B Q R], glimpses [B Q G R] if several."""
        shape = words.shape[:2]  # B Q
        text_keep = word_keep.flatten(0, 1)
        texts = self._read(words.flatten(0, 1), text_keep)
        seen, seen_keep = self._look(regions, region_keep, texts, text_keep)
        word_summary, word_weights = self.flatten_words(texts[-1], text_keep)
        region_summary, region_weights = self.flatten_regions(seen, seen_keep)
        parts = region_weights.unflatten(0, shape)  # [B Q G R]
        return CoAttentionOutput(
            word_summary.unflatten(0, shape),
            region_summary.unflatten(0, shape),
            word_weights.mean(1).unflatten(0, shape),
            parts.mean(2),
            parts if self.part_axis else None,
        )

    def _read(self, words: Float[Tensor, "N T D"], keep: Bool[Tensor, "N T"]) -> list[Float[Tensor, "N T D"]]:
        """Y^1 .. Y^L of N = B Q questions."""
        texts = []
        for look, think in zip(self.words_to_words, self.word_maps, strict=True):
            words = think(look(words, words, keep))
            texts.append(words)
        return texts

    def _look(
        self,
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        texts: list[Float[Tensor, "N T D"]],
        text_keep: Bool[Tensor, "N T"],
    ) -> tuple[Float[Tensor, "N R D"], Bool[Tensor, "N R"]]:
        """X^L of N = B Q questions, and which regions are valid."""
        keep = region_keep.repeat_interleave(len(text_keep) // len(regions), 0)
        first, *others = self.regions_to_regions
        regions = first(regions, regions, region_keep)  # no question has come in yet, before the first guide
        for depth, (guided, think) in enumerate(zip(self.regions_to_words, self.region_maps, strict=True)):
            if depth:
                regions = others[depth - 1](regions, regions, keep)
            guide = texts[depth if self.order == "stacking" else -1]
            regions = think(guided(regions, guide, text_keep))
        return regions, keep
