"""Words that look at the picture in every layer (Li et al. 2022, "BLIP", section 3.1, image-grounded text encoder).

Shapes: B pictures of R regions, Q questions about each, T words in a question, all of width D; L layers.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.guided import AttentionFlattening, AttentionUnit, FeedForwardUnit
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import expected_value
from common.attention.sequences import CoAttention, CoAttentionOutput


class GroundedWords(CoAttention):
    """L transformer layers over the words, each with a look at the regions between self-attention and feed-forward.

        y = LN(y + MHA(y, y, y)),  y = LN(y + MHA(y, X, X)),  y = LN(y + FFN(y))
        a = attention flattening of Y^L,  words: W sum_t a_t y_t
        p = mean over layers and heads of sum_t a_t p_t,  regions: sum_i p_i x_i

    Each word finds what it names and carries it on, and the words of the next layer compare what they have found: so
    relations of several objects can be told apart. The regions stay as they are, so that the maps say where something
    was read; and each question has T items of its own, not R as where the regions are guided (`GuidedCoAttention`):
    B Q H T R weights and B Q T D numbers.

    `p_t` are the weights of word t, `a` the weights of the flattening; the parts are the looks of the layers. The
    words know their order only as far as the text encoder has written it into them.
    """

    kind = "grounded words"
    part_axis = "layer"

    def __init__(self, dim: int, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"at least one layer is needed, got {layers}")

        def looks() -> nn.ModuleList:
            return nn.ModuleList(AttentionUnit(dim, heads, dropout, "paper") for _ in range(layers))

        self.words_to_words, self.words_to_regions = looks(), looks()
        self.word_maps = nn.ModuleList(FeedForwardUnit(dim, dropout, "paper") for _ in range(layers))
        self.flatten_words = AttentionFlattening(dim, 1, dim, dropout)

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R], those of the layers [B Q L R]."""
        questions, length = words.shape[1:3]
        keep = word_keep.flatten(0, 1)  # [B*Q T]
        items, looks = words.flatten(0, 1), []
        for read, look, think in zip(self.words_to_words, self.words_to_regions, self.word_maps, strict=True):
            items = read(items, items, keep)
            asked = items.unflatten(0, (-1, questions)).flatten(1, 2)  # [B Q*T D]: the regions are shared, not copied
            seen, weights = look.attend(asked, regions, region_keep)  # type: ignore[operator]
            items = think(seen.unflatten(1, (questions, length)).flatten(0, 1))
            looks.append(weights.mean(1).unflatten(1, (questions, length)))  # [B Q T R]
        summary, word_weights = self.flatten_words(items, keep)
        word_weights = word_weights.view_as(word_keep)
        # not as a product of matrices, which autocast would take out of float32
        parts = torch.stack([(word_weights.unsqueeze(-1) * look).sum(2) for look in looks], 2)
        region_weights = parts.mean(2)
        return CoAttentionOutput(
            summary.unflatten(0, (-1, questions)),
            expected_value(region_weights, regions),
            word_weights,
            region_weights,
            parts,
        )
