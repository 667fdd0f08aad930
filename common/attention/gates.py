"""Gates on attention: the visual sentinel, with which a decoder can leave the picture alone."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.attention import Attention, PreparedKeys
from common.attention.distributions import Sigmoid
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, expected_value
from common.attention.positions import Soft
from common.attention.scores import CosineScore, LocationScore


class SentinelAttention(nn.Module):
    """The regions and a visual sentinel, what the decoder knows already, compete for the query (Lu et al. 2017).

        e_i = a(q, k_i),  e_s = a(q, s), in which W_s s takes the place of what the score makes of a key
        [alpha; beta] = p([e; e_s]),  context = sum_i alpha_i k_i + beta s

    (equations 9-13, whose (1 - beta) times the weights of the regions alone are the alpha here). The weights of the
    regions sum to 1 - beta, the probability that the next word is seen and not known from the words before it.

    Args:
        attention: any score, softmax or a sparse distribution, soft position.
        key_dim: the width of the regions and of the sentinel, which are values of one sum.

    Raises:
        ValueError: the attention has no logits among which the sentinel could be one more.
    """

    def __init__(self, attention: AttentionMechanism, key_dim: int) -> None:
        super().__init__()
        if not isinstance(attention, Attention) or not isinstance(attention.position, Soft):
            raise ValueError("the sentinel is one more logit beside the regions': take Attention, its position Soft")
        if isinstance(attention.distribution, Sigmoid):
            raise ValueError("the sentinel competes with the regions, but Sigmoid's gates do not: take Softmax")
        if isinstance(attention.score, LocationScore | CosineScore):
            raise ValueError(
                f"{type(attention.score).__name__} has no place for a sentinel, whose length matters and which lies "
                "nowhere: take AdditiveScore"
            )
        self.attention = attention
        with torch.no_grad():
            projected = attention.score.project(torch.zeros(1, 1, key_dim))
        self.map_sentinel = nn.Linear(key_dim, projected.shape[-1], bias=False)

    @property
    def kind(self) -> str:
        """The kind in words, for captions of figures."""
        return f"{self.attention.kind} with sentinel"

    def prepare(
        self, keys: Float[Tensor, "B N K"], keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None = None
    ) -> PreparedKeys:
        """What the attention needs of the regions [B N K]."""
        return self.attention.prepare(keys, keep, layout=layout)

    def forward(
        self, query: Float[Tensor, "B Q E"], sentinel: Float[Tensor, "B Q K"], keys: PreparedKeys
    ) -> tuple[AttentionOutput, Float[Tensor, "B Q"]]:
        """Context [B Q K] and weights [B Q N] that sum to 1 - beta, and beta [B Q]; 1 where no region is valid."""
        score = self.attention.score
        own = score(query.flatten(0, 1).unsqueeze(1), self.map_sentinel(sentinel).flatten(0, 1).unsqueeze(1))
        logits = torch.cat([score(query, keys.projected), own.view(*query.shape[:2], 1)], -1)  # [B Q N+1]
        keep = nn.functional.pad(keys.keep, (0, 1), value=True)
        weights, beta = self.attention.distribution(logits, keep.unsqueeze(1)).split([keys.keep.shape[1], 1], -1)
        context = expected_value(weights, keys.values) + beta.to(sentinel.dtype) * sentinel
        return AttentionOutput(context, weights), beta.squeeze(-1)
