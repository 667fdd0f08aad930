"""Regions look at each other before a query looks at them: the self-attention of MCAN, AoANet and others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.multi_head import InformationGate, MultiHead
from common.attention.places import centre_sinusoids
from common.attention.transformer import MultiHeadAttention, TransformerLayer


class Refiner(nn.Module):
    """L layers in which the items look at each other: (items [B N D], keep [B N]) -> (items, weights [B H N N])."""

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm or nn.Identity()
        if not self.layers:
            raise ValueError("a refiner needs at least one layer")

    def forward(
        self, items: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B L N N"]]:
        """The refined items, and in each layer the mean over its heads of where each item looked."""
        looks = []
        for layer in self.layers:
            items, weights = layer(items, keep)
            looks.append(weights.mean(1))
        return self.norm(items), torch.stack(looks, 1)


class TransformerRefiner(Refiner):
    """Layers of the transformer: MCAN's units SA (Yu et al. 2019, section 3.1), six of them as there.

    With `memory_slots` (40), three `layers` and norm "after" it is the encoder of the meshed-memory transformer
    (Cornia et al. 2020): what is known without the picture is looked up in learned slots. See `TransformerLayer`.
    """

    def __init__(
        self,
        key_dim: int,
        layers: int = 6,
        heads: int = 8,
        dropout: float = 0.1,
        norm: Literal["before", "after"] = "after",
        memory_slots: int = 0,
    ) -> None:
        super().__init__(
            (TransformerLayer(key_dim, heads, dropout, norm, memory_slots) for _ in range(layers)),
            nn.LayerNorm(key_dim) if norm == "before" else None,
        )


class AoALayer(nn.Module):
    """Attention on attention with a residual, without a feed-forward net (section 3.2).

    norm "before":  x + dropout(AoA(MHA(x'), x')), x' = LN(x);  "after":  LN(x + dropout(AoA(MHA(x), x)))
    """

    def __init__(
        self, dim: int, heads: int, dropout: float, gate_dropout: float, norm: Literal["before", "after"] = "before"
    ) -> None:
        super().__init__()
        self.norm_first = norm == "before"
        self.attention = MultiHeadAttention(dim, heads, dropout, join=dim % heads != 0)
        self.gate = InformationGate(dim, dim, gate_dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B H N N"]]:
        """Items [B N D] that have looked at each other, and the weights of each head [B H N N]."""
        query = self.norm(items) if self.norm_first else items
        context, weights = self.attention(query, query, keep)
        items = items + self.dropout(self.gate(context, query))
        return items if self.norm_first else self.norm(items), weights


class AoARefiner(Refiner):
    """The refining module of AoANet (Huang et al. 2019, section 3.2.1) with its six layers.

    norm "before" is as released, with another norm at the end; "after", around the sum, is as the paper writes it. The
    heads are not joined by a linear map, since the gate's follows at once (but where they do not divide `key_dim`).
    """

    def __init__(
        self,
        key_dim: int,
        layers: int = 6,
        heads: int = 8,
        dropout: float = 0.1,
        gate_dropout: float = 0.3,
        norm: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__(
            (AoALayer(key_dim, heads, dropout, gate_dropout, norm) for _ in range(layers)),
            nn.LayerNorm(key_dim) if norm == "before" else None,
        )


class RefinedKeys(NamedTuple):
    """What the attention within prepared of the refined regions, and the regions that each of them is made of."""

    prepared: Any
    origin: Float[Tensor, "B N N"]


class SelfAttended(AttentionMechanism[RefinedKeys]):
    """The regions look at each other, then the query looks at the refined regions with any attention.

    `weights` are those of the attention within, over the refined regions. A refined region holds something of all
    others, so there are two parts, by the depth of the look: that same look, and the look carried down through the
    self-attention to the regions as they came in (`attention_rollout`). Parts of the attention within (heads) are not
    handed on: their mean is in both. A region does not know its place but by its features; `positions` tells it.

    Args:
        attention: how the query looks at refined regions; None takes `MultiHead`.
        refiner: how regions look at each other; None takes `TransformerRefiner`.
        positions: adds sinusoids of each region's centre to its features (see `centre_sinusoids`).
    """

    part_axis = "depth"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        attention: AttentionMechanism | None = None,
        refiner: Refiner | None = None,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.attention = attention or MultiHead(query_dim, key_dim)
        self.refiner = refiner or TransformerRefiner(key_dim)
        self.positions = positions

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the attention within, to refined regions."""
        return f"{self.attention.kind} after self-attention"

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> RefinedKeys:
        """The refined keys [B N K] as the attention within wants them; they are the values where none are given.

        Raises:
            ValueError: positions of keys that lie nowhere on a picture.
        """
        if self.positions:
            if layout is None:
                raise ValueError("positions are places on a picture, and words have none: leave positions off")
            keys = keys + centre_sinusoids(layout, keys.shape[-1]).to(keys.dtype)
        refined, looks = self.refiner(keys, keep)
        return RefinedKeys(self.attention.prepare(refined, keep, values, layout), attention_rollout(looks))

    def forward(self, query: Float[Tensor, "B Q E"], keys: RefinedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q K], weights [B Q N], and the look at both depths [B Q 2 N]."""
        found = self.attention(query, keys.prepared, step)
        with torch.autocast(query.device.type, enabled=False):  # weights stay in float32
            carried = found.weights @ keys.origin
        return found._replace(parts=torch.stack([found.weights, carried], 2))


def attention_rollout(looks: Float[Tensor, "B L N N"]) -> Float[Tensor, "B N N"]:
    """How much of each item as it came in there is in each refined item (Abnar & Zuidema 2020, section 3).

        R = A'_L ... A'_1,  A'_l = (A_l + I) with its rows divided by their sums

    I is for the residual. Rows of A_l that sum to less than one looked at memory slots, which hold nothing of any item.
    Rows of R sum to one. In at least float32, under autocast too.
    """
    identity = torch.eye(looks.shape[-1], dtype=looks.dtype, device=looks.device)
    mixed = looks + identity
    mixed = mixed / mixed.sum(-1, keepdim=True)
    origin = identity.expand_as(looks[:, 0])
    with torch.autocast(looks.device.type, enabled=False):
        for layer in mixed.unbind(1):
            origin = layer @ origin
    return origin
