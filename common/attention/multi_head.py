"""A query looks at regions with several heads (Vaswani et al. 2017), and attention on attention (Huang et al. 2019)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.transformer import MultiHeadAttention, ProjectedKeys


class MultiHead(AttentionMechanism[ProjectedKeys]):
    """Scaled-dot attention with a distribution for each head (Vaswani et al. 2017, section 3.2.2).

    The parts are the weights of the heads, `weights` is their mean. Keys and values are projected once per picture.
    With nothing valid the context is the offset of the last linear map. See `MultiHeadAttention` for the settings.
    """

    kind = "multi-head"
    part_axis = "head"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        heads: int = 8,
        dim: int | None = None,
        dropout: float = 0.1,
        join: bool = True,
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(key_dim, heads, dropout, query_dim, inner_dim=dim, join=join)

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> ProjectedKeys:
        """Keys and values of each head."""
        return self.attention.project(keys, keep, values)

    def forward(self, query: Float[Tensor, "B Q E"], keys: ProjectedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q K], weights [B Q N] and those of each head [B Q H N]."""
        context, weights = self.attention.attend(query, keys)
        return AttentionOutput(context, weights.mean(1), parts=weights.transpose(1, 2))


class InformationGate(nn.Module):
    """How much of what was found answers what was asked (Huang et al. 2019, equations 1-4).

        i = W_q^i q + W_v^i v + b^i,  g = sigmoid(W_q^g q + W_v^g v + b^g),  result = g * i

    for the query q and the context v that it found. Dropout is on both, as in the released code.
    """

    def __init__(self, query_dim: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.map = nn.Linear(dim + query_dim, 2 * dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, context: Float[Tensor, "*B D"], query: Float[Tensor, "*B E"]) -> Float[Tensor, "*B D"]:
        """The gated information [*B D]."""
        return nn.functional.glu(self.map(self.dropout(torch.cat([context, query], -1))), -1)


class AttentionOnAttention(AttentionMechanism[Any]):
    """What any attention finds is gated by how well it fits the query (Huang et al. 2019, "Attention on Attention").

    Weights and parts are those of the attention within: they tell where it looked, not how much of it was let through.
    With nothing valid the context is what the query alone says to `InformationGate`.

    Args:
        attention: any mechanism; None takes `MultiHead` with 8 heads and, as in the released code, without its last
            linear map, which the gate's would follow at once (with it where 8 heads do not divide `key_dim`).
        dropout: of query and context on their way into the gate.
    """

    def __init__(
        self, query_dim: int, key_dim: int, attention: AttentionMechanism | None = None, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.attention = attention or MultiHead(query_dim, key_dim, join=key_dim % 8 != 0)
        self.gate = InformationGate(query_dim, key_dim, dropout)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the attention within, gated."""
        return f"{self.attention.kind}, attention on attention"

    @property
    def part_axis(self) -> str | None:  # type: ignore[override]
        """What the parts of the attention within are."""
        return self.attention.part_axis

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> Any:
        """What the attention within prepares."""
        return self.attention.prepare(keys, keep, values, layout)

    def forward(self, query: Float[Tensor, "B Q E"], keys: Any, step: int = 0) -> AttentionOutput:
        """Context [B Q K], and what else the attention within returns."""
        found = self.attention(query, keys, step)
        return found._replace(context=self.gate(found.context, query))
