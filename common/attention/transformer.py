"""Multi-head attention and the transformer's encoder layer (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from common.attention.distributions import Softmax


class ProjectedKeys(NamedTuple):
    """Keys and values of each of H heads, those of the memory slots last, and which of the items are valid.

    keep: [B Q N], or [1 Q N] for all examples, where not every query may look at the same items.
    """

    keys: Float[Tensor, "B H M d"]
    values: Float[Tensor, "B H M d"]
    keep: Bool[Tensor, "B N"] | Bool[Tensor, "#B Q N"]


class MemorySlots(nn.Module):
    """Learned keys and values beside those of the items, never masked (Cornia et al. 2020, equations 2 and 3).

        K = [X W_k ; sqrt(d_k) M_k],  V = [X W_v ; sqrt(m) M_v]

    d_k: width of a head, m: number of slots. At the start M_k is drawn from N(0, 1 / d_k) and M_v from N(0, 1 / m), so
    that the slots are about as large as projected items. (The released code draws both anew, M_k much smaller.)
    """

    def __init__(self, slots: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.scales = math.sqrt(head_dim), math.sqrt(slots)
        self.keys = nn.Parameter(torch.randn(heads, slots, head_dim) / self.scales[0])
        self.values = nn.Parameter(torch.randn(heads, slots, head_dim) / self.scales[1])

    def forward(
        self, keys: Float[Tensor, "B H N d"], values: Float[Tensor, "B H N d"]
    ) -> tuple[Float[Tensor, "B H M d"], Float[Tensor, "B H M d"]]:
        """Keys and values with the slots behind them, M = N + m."""
        shape = keys.shape[0], -1, -1, -1
        return (
            torch.cat([keys, (self.scales[0] * self.keys).expand(shape)], 2),
            torch.cat([values, (self.scales[1] * self.values).expand(shape)], 2),
        )


class MultiHeadAttention(nn.Module):
    """Scaled-dot attention in `heads` subspaces at once (section 3.2.2).

        head_h = softmax(Q W_q^h (K W_k^h)^T / sqrt(d)) V W_v^h,  context = [head_1 ; ... ; head_H] W_o

    Where nothing is valid, the heads are zero and the context is the offset of W_o.

    Args:
        dim: width D of keys, values and context.
        dropout: of the weights.
        query_dim: width of the queries; `dim` where not given.
        inner_dim: width of all heads together; where not given the greatest multiple of `heads` that is not above
            `dim`, from which W_o leads back to `dim`.
        memory_slots: number of learned keys and values beside those given. The weights that are returned are those of
            the given keys and sum to less than one: the rest went to the slots.
        join: False leaves out W_o.

    Raises:
        ValueError: the heads do not divide the width, or there is no W_o to bring the heads to the width `dim`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dropout: float = 0.0,
        query_dim: int | None = None,
        inner_dim: int | None = None,
        memory_slots: int = 0,
        join: bool = True,
    ) -> None:
        super().__init__()
        inner_dim = dim // heads * heads if inner_dim is None else inner_dim
        if inner_dim < heads or inner_dim % heads:
            raise ValueError(f"{heads} heads do not divide the width {inner_dim or dim}: take fewer, or another width")
        if not join and inner_dim != dim:
            raise ValueError(f"heads of {inner_dim} features in all are no context of {dim}: leave join on")
        self.heads = heads
        self.map_query = nn.Linear(query_dim or dim, inner_dim)
        self.map_key = nn.Linear(dim, inner_dim)
        self.map_value = nn.Linear(dim, inner_dim)
        self.memory = MemorySlots(memory_slots, heads, inner_dim // heads) if memory_slots else None
        self.join = nn.Linear(inner_dim, dim) if join else nn.Identity()
        self.distribution = Softmax()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: Float[Tensor, "B Q E"], keys: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B H Q N"]]:
        """Context [B Q D] and the weights of each head [B H Q N], before dropout."""
        return self.attend(query, self.project(keys, keep))

    def project(
        self, keys: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"], values: Float[Tensor, "B N D"] | None = None
    ) -> ProjectedKeys:
        """What does not depend on the query; the values are the keys where not given."""
        k = self._split(self.map_key(keys))
        v = self._split(self.map_value(keys if values is None else values))
        if self.memory is not None:
            k, v = self.memory(k, v)
        return ProjectedKeys(k, v, keep)

    def attend(
        self, query: Float[Tensor, "_P Q E"], projected: ProjectedKeys
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B H Q N"]]:
        """Context [B Q D] and the weights of each head [B H Q N], before dropout.

        The queries of P examples, mapped once, may look at keys of B = P, 2 P, ..., each at as many in turn.
        """
        return self.attend_each(query, [projected])[0]

    def attend_each(
        self, query: Float[Tensor, "_P Q E"], several: Sequence[ProjectedKeys]
    ) -> list[tuple[Float[Tensor, "B Q D"], Float[Tensor, "B H Q _N"]]]:
        """The same of several sets of keys; the queries are mapped once for all of them."""
        mapped = self._split(self.map_query(query))
        return [self._attend(_shared(mapped, len(each.keys)), each) for each in several]

    def _attend(
        self, q: Float[Tensor, "B H Q d"], projected: ProjectedKeys
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B H Q N"]]:
        k, v, keep = projected
        logits = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])  # [B H Q M]
        weights = self.distribution(logits, self._seen(projected))
        context = self.dropout(weights).to(v.dtype) @ v  # [B H Q d]
        return self.join(context.transpose(1, 2).flatten(2)), weights[..., : keep.shape[-1]]

    def context(self, query: Float[Tensor, "_P Q E"], projected: ProjectedKeys) -> Float[Tensor, "B Q D"]:
        """The context alone: where nobody asks for the weights they are never written down."""
        if self.training and self.dropout.p > 0:  # of the weights, which must then be there
            return self.attend(query, projected)[0]
        k, v, _ = projected
        seen = self._seen(projected)
        any_seen = seen.any(-1, keepdim=True)
        q = _shared(self._split(self.map_query(query)), len(k)).to(v.dtype)
        context = nn.functional.scaled_dot_product_attention(q, k, v, seen | ~any_seen) * any_seen
        return self.join(context.transpose(1, 2).flatten(2))

    def _seen(self, projected: ProjectedKeys) -> Bool[Tensor, "#B 1 #Q M"]:
        """Which keys each query may look at, memory slots too."""
        k, _, keep = projected
        seen = nn.functional.pad(keep, (0, k.shape[2] - keep.shape[-1]), value=True)
        return seen[:, None, None] if keep.ndim == 2 else seen[:, None]

    def _split(self, joined: Float[Tensor, "B N I"]) -> Float[Tensor, "B H N d"]:
        return joined.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _shared(queries: Float[Tensor, "_P H Q d"], examples: int) -> Float[Tensor, "B H Q d"]:
    """The queries again for each of the examples that share them."""
    return queries if len(queries) == examples else queries.repeat_interleave(examples // len(queries), 0)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward net of four times the width, each with a residual.

        norm "before":  x = x + MHA(LN x);  x = x + FFN(LN x)
        norm "after":   x = LN(x + MHA x);  x = LN(x + FFN x)

    "after" is Vaswani et al.'s own and that of MCAN's unit SA (Yu et al. 2019) and of the meshed-memory encoder (Cornia
    et al. 2020), which have dropout within FFN too; "before" trains without warm-up.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dropout: float = 0.0,
        norm: Literal["before", "after"] = "before",
        memory_slots: int = 0,
    ) -> None:
        super().__init__()
        self.norm_first = norm == "before"
        self.attention = MultiHeadAttention(dim, heads, dropout, memory_slots=memory_slots)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = feed_forward(dim, 0.0 if self.norm_first else dropout)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B H N N"]]:
        """Items [B N D] that have looked at each other, and the weights of each head [B H N N]."""
        if self.norm_first:
            normed = self.attention_norm(items)
            context, weights = self.attention(normed, normed, keep)
            items = items + self.dropout(context)
            return items + self.dropout(self.feed_forward(self.feed_forward_norm(items))), weights
        context, weights = self.attention(items, items, keep)
        items = self.attention_norm(items + self.dropout(context))
        return self.feed_forward_norm(items + self.dropout(self.feed_forward(items))), weights


def feed_forward(dim: int, dropout: float = 0.0) -> nn.Sequential:
    """W_2 dropout(ReLU(W_1 x)), four times as wide within (section 3.3)."""
    hidden = nn.Sequential(nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(nn.Linear(dim, 4 * dim), hidden, nn.Linear(4 * dim, dim))


def sinusoids(positions: Num[Tensor, "*B"], dim: int) -> Float[Tensor, "*B D"]:
    """Position encodings sin(t / 10000^(2i/D)) and cos of the same, side by side (section 3.5)."""
    steps = torch.arange(0, dim, 2, device=positions.device)
    frequency = torch.exp(steps * (-math.log(10000.0) / dim))
    angle = positions.unsqueeze(-1) * frequency  # [*B D/2]
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., :dim]
