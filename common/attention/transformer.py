"""Multi-head self-attention and the transformer's encoder layer (Vaswani et al. 2017)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Softmax


class MultiHeadAttention(nn.Module):
    """Scaled-dot attention in `heads` subspaces at once (section 3.2.2)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is no multiple of {heads} heads")
        self.heads = heads
        self.map_query = nn.Linear(dim, dim)
        self.map_key = nn.Linear(dim, dim)
        self.map_value = nn.Linear(dim, dim)
        self.join = nn.Linear(dim, dim)
        self.distribution = Softmax()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: Float[Tensor, "B Q D"], keys: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B H Q N"]]:
        """Context [B Q D] and the weights of each head [B H Q N], before dropout."""
        q, k, v = (
            linear(inputs).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B H N d]
            for linear, inputs in ((self.map_query, query), (self.map_key, keys), (self.map_value, keys))
        )
        weights = self.distribution(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), keep[:, None, None])
        context = self.dropout(weights).to(v.dtype) @ v  # [B H Q d]
        return self.join(context.transpose(1, 2).flatten(2)), weights


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward net of four times the width, each with a residual; normalised before."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B H N N"]]:
        """Items [B N D] that have looked at each other, and the weights of each head [B H N N]."""
        normed = self.attention_norm(items)
        context, weights = self.attention(normed, normed, keep)
        items = items + self.dropout(context)
        return items + self.dropout(self.feed_forward(self.feed_forward_norm(items))), weights


def sinusoids(length: int, dim: int) -> Float[Tensor, "N D"]:
    """Position encodings sin(t / 10000^(2i/D)) and cos of the same, side by side (section 3.5)."""
    position = torch.arange(length).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angle = position * frequency  # [N D/2]
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :dim]
