"""Bilinear co-attention: one distribution over all pairs of a word and a region (Kim, Jun & Zhang 2018, "Bilinear
Attention Networks").

Shapes: B pictures of R regions of width V, Q questions about each, T words of width D in a question; G glimpses; the
maps have rank K', the joint features are K wide.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.maps import Boxes, Grid
from common.attention.sequences import CoAttention, CoAttentionOutput


class BilinearCoAttention(CoAttention):
    """G looks at pairs of words and regions, each adding what it found to every word before the next (section 3).

        v'_i = relu(W_v v_i), q'_j = relu(W_q q_j)                             of width K'
        A_g  = softmax_ij(sum_k h_gk v'_ik q'_jk)                              over all R T pairs at once
        f_gk = sum_ij A_gij relu(V_g v_i)_k relu(U_g q_j^{g-1})_k              of width K
        q_j^g = q_j^{g-1} + P_g f_g,  q_j^0 = q_j

    All maps A_g come from the words as they were given, by the paper's equations and in the released code; only the
    pooling sees what earlier glimpses added. The answer's input there, sum_j q_j^G, is the sum of both summaries here:
    `words` = sum_j q_j over the valid words, `regions` = (number of valid words) sum_g P_g f_g. No pair of a word and a
    region has a vector of its own: memory grows as G T (K' + K + R) with a question and R (K' + G K) with a picture.

    The weights handed out are marginals of A_g: over words each glimpse's look at the regions (the parts), and in the
    mean over glimpses those of regions and words.

    P_g has no bias, so that a picture without regions adds nothing; nor have the logits one, which the softmax would
    take back. The released code has both, weight normalisation, and a counter of objects beside it.

    Args:
        hidden_dim: K; None takes D.
        map_dim: K'; None takes 3 K, as released.
        mask_words: False lets padding words take part, as released, where every question is padded to 14 words.
        dropout: of the inputs of all layers (0.2 in the released code).
        map_dropout: of v' (0.5 in the released code).
        key_dim: V; None takes D.
    """

    kind = "bilinear co-attention"

    def __init__(
        self,
        dim: int,
        glimpses: int = 8,
        hidden_dim: int | None = None,
        map_dim: int | None = None,
        mask_words: bool = True,
        dropout: float = 0.0,
        map_dropout: float = 0.0,
        key_dim: int | None = None,
    ) -> None:
        super().__init__()
        if glimpses < 1:
            raise ValueError(f"at least one glimpse is needed, got {glimpses}")
        hidden_dim = hidden_dim or dim
        map_dim = map_dim or 3 * hidden_dim
        self.mask_words = mask_words
        self.part_axis = "glimpse" if glimpses > 1 else None
        key_dim = key_dim or dim
        self.map_regions = nn.Linear(key_dim, map_dim)
        self.map_words = nn.Linear(dim, map_dim)
        self.score = nn.Linear(map_dim, glimpses, bias=False)  # h
        self.pool_regions = nn.Linear(key_dim, glimpses * hidden_dim)  # all V_g
        self.pool_words = nn.ModuleList(nn.Linear(dim, hidden_dim) for _ in range(glimpses))  # U_g
        self.join = nn.ModuleList(nn.Linear(hidden_dim, dim, bias=False) for _ in range(glimpses))  # P_g
        self.dropout = nn.Dropout(dropout)
        self.map_dropout = nn.Dropout(map_dropout)

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R V"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R], glimpses [B Q G R] if several."""
        keep = word_keep if self.mask_words else torch.ones_like(word_keep)
        maps = self.maps(words, keep, regions, region_keep)
        counted = keep.unsqueeze(-1).to(words.dtype)  # [B Q T 1]
        added = counted.sum(2) * self.joint_features(maps, words, regions)
        parts = maps.sum(3)  # [B Q G R]
        return CoAttentionOutput(
            (counted * words).sum(2), added, maps.sum(4).mean(2), parts.mean(2), parts if self.part_axis else None
        )

    def maps(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R V"],
        region_keep: Bool[Tensor, "B R"],
    ) -> Float[Tensor, "B Q G T R"]:
        """All A_g: h_g scales the words, so that one product with the regions makes every map."""
        mapped_regions = self.map_dropout(torch.relu(self.map_regions(self.dropout(regions))))  # [B R K']
        mapped_words = torch.relu(self.map_words(self.dropout(words))).unsqueeze(2)  # [B Q 1 T K']
        scaled = mapped_words * self.score.weight.unsqueeze(1).to(mapped_words.dtype)  # [B Q G T K']
        logits = (scaled.flatten(1, 3) @ mapped_regions.transpose(1, 2)).unflatten(1, scaled.shape[1:4])
        pairs = word_keep.unsqueeze(-1) & region_keep[:, None, None]  # [B Q T R]
        weights = self.distribution(logits.flatten(3), pairs.flatten(2).unsqueeze(2))
        return weights.unflatten(3, pairs.shape[2:])

    def joint_features(
        self, maps: Float[Tensor, "B Q G T R"], words: Float[Tensor, "B Q T D"], regions: Float[Tensor, "B R V"]
    ) -> Float[Tensor, "B Q D"]:
        """sum_g P_g f_g: what the glimpses add to every word."""
        glimpses, shape = maps.shape[2], (maps.shape[1], maps.shape[3])  # G, Q T
        pooled = torch.relu(self.pool_regions(self.dropout(regions)))  # [B R G*K]
        pooled = pooled.unflatten(2, (glimpses, -1)).transpose(1, 2)  # [B G R K]
        seen = (maps.transpose(1, 2).flatten(2, 3).to(pooled.dtype) @ pooled).unflatten(2, shape)  # [B G Q T K]
        added = torch.zeros_like(words[:, :, :1])  # [B Q 1 D]
        for pool, join, by_word in zip(self.pool_words, self.join, seen.unbind(1), strict=True):
            joint = by_word * torch.relu(pool(self.dropout(words + added)))  # [B Q T K]
            added = added + join(self.dropout(joint.sum(2, keepdim=True)))
        return added.squeeze(2)
