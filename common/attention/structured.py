"""Structured self-attentive pooling: several looks at the items that no query guides (Lin et al. 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, expected_value


class StructuredPooling(AttentionMechanism[AttentionOutput]):
    """A = softmax(W_2 tanh(W_1 H^T)), M = A H, context = W [M_1 ; ... ; M_r] + b (equations 6 and 7).

    Each of r glimpses has a distribution over the N items by what each item says alone: the query is not used, and all
    queries get the same. The parts are the glimpses, `weights` is their mean. The paper hands the whole M to its
    classifier; W brings it to the width of the values. One glimpse pools like a hierarchical attention network.
    With nothing valid M is zero.

    Args:
        hidden_dim: d_a, rows of W_1.
        glimpses: r. That they look at different items is the work of `redundancy` in the loss.
        dropout: of M.
    """

    kind = "structured self-attentive"
    part_axis = "glimpse"

    def __init__(self, key_dim: int, hidden_dim: int = 350, glimpses: int = 30, dropout: float = 0.0) -> None:
        super().__init__()
        if glimpses < 1:
            raise ValueError(f"at least one glimpse is needed, got {glimpses}")
        self.map_key = nn.Linear(key_dim, hidden_dim, bias=False)
        self.score = nn.Linear(hidden_dim, glimpses, bias=False)
        self.join = nn.Linear(glimpses * key_dim, key_dim)
        self.distribution = Softmax()
        self.dropout = nn.Dropout(dropout)

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> AttentionOutput:
        """All there is: context [B 1 K], weights [B 1 N] and those of each glimpse [B 1 P N]."""
        logits = self.score(torch.tanh(self.map_key(keys))).transpose(1, 2)  # [B P N]
        weights = self.distribution(logits, keep.unsqueeze(1))
        summaries = expected_value(weights, keys if values is None else values)  # [B P K]
        context = self.join(self.dropout(summaries.flatten(1)))
        return AttentionOutput(context.unsqueeze(1), weights.mean(1, keepdim=True), parts=weights.unsqueeze(1))

    def forward(self, query: Float[Tensor, "B Q E"], keys: AttentionOutput, step: int = 0) -> AttentionOutput:
        """The same for each of the Q queries: context [B Q K], weights [B Q N], parts [B Q P N]."""
        queries = query.shape[1]
        assert keys.parts is not None
        return AttentionOutput(
            keys.context.expand(-1, queries, -1),
            keys.weights.expand(-1, queries, -1),
            parts=keys.parts.expand(-1, queries, -1, -1),
        )


def redundancy(parts: Float[Tensor, "*B P N"]) -> Float[Tensor, "*B"]:
    """|| A A^T - I ||_F^2 of the glimpses A [P N] (equation 8): zero where each sees one item, and each another.

    Where nothing is valid it is P, without a gradient.
    """
    identity = torch.eye(parts.shape[-2], dtype=parts.dtype, device=parts.device)
    return (parts @ parts.transpose(-2, -1) - identity).square().sum((-2, -1))
