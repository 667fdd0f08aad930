"""Several looks that share all but their last layer (Kazemi and Elqursh 2017, "Show, Ask, Attend, and Answer")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Distribution, Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, expected_value


class GlimpseKeys(NamedTuple):
    """The keys' part of the hidden layer, and what is read."""

    projected: Float[Tensor, "B N E"]
    values: Float[Tensor, "B N D"]
    keep: Bool[Tensor, "B N"]


class GlimpseAttention(AttentionMechanism[GlimpseKeys]):
    """G glimpses at the regions, told apart by one vector each (section 3.3).

        h_i = relu(W_k k_i + W_q q + b),  a_gi = softmax_i(w_g . h_i)
        context = W [sum_i a_1i v_i; ...; sum_i a_Gi v_i]

    The parts are the glimpses, `weights` is their mean.

    Args:
        join: W, which brings the glimpses to the width of the values; False hands them out side by side, G times as
            wide, as the paper's classifier takes them.
        dropout: of h.
    """

    kind = "glimpses"
    part_axis = "glimpse"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        glimpses: int = 2,
        hidden_dim: int = 512,
        join: bool = True,
        dropout: float = 0.0,
        distribution: Distribution | None = None,
    ) -> None:
        super().__init__()
        if glimpses < 1:
            raise ValueError(f"at least one glimpse is needed, got {glimpses}")
        self.glimpses = glimpses
        self.map_query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, glimpses, bias=False)
        self.join = nn.Linear(glimpses * key_dim, key_dim) if join else nn.Identity()
        self.distribution = distribution or Softmax()
        self.dropout = nn.Dropout(dropout)

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> GlimpseKeys:
        """W_k k + b."""
        return GlimpseKeys(self.map_key(keys), keys if values is None else values, keep)

    def forward(self, query: Float[Tensor, "B Q E"], keys: GlimpseKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D] or [B Q G*D], weights [B Q N] and those of each glimpse [B Q G N]."""
        hidden = torch.relu(self.map_query(query).unsqueeze(2) + keys.projected.unsqueeze(1))  # [B Q N E]
        logits = self.score(self.dropout(hidden)).transpose(2, 3)  # [B Q G N]
        parts = self.distribution(logits, keys.keep[:, None, None])
        glimpses = expected_value(parts.flatten(1, 2), keys.values).unflatten(1, parts.shape[1:3])  # [B Q G D]
        return AttentionOutput(self.join(glimpses.flatten(2)), parts.mean(2), parts=parts)
