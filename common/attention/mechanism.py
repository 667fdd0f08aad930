"""What every attention mechanism is to the models: queries in, contexts and weights out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, NamedTuple, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.maps import Boxes, Grid

Prepared = TypeVar("Prepared")


class AttentionOutput(NamedTuple):
    """What attention returns: B examples, Q queries each, N keys, values of width D.

    weights: the distribution over the keys, before any dropout; of hard attention too (its choice is drawn from it).
    Where there are several (heads, hops, features), what they come to together.
    log_prob, entropy: of hard attention's choices, [B Q]; None elsewhere. log_prob is zero where the expected context
    took the place of a choice.
    parts: the weights of each of P heads, hops, features, ..., as the mechanism's `part_axis` names them; None where
    there is but one distribution.
    """

    context: Float[Tensor, "B Q D"]
    weights: Float[Tensor, "B Q N"]
    log_prob: Float[Tensor, "B Q"] | None = None
    entropy: Float[Tensor, "B Q"] | None = None
    parts: Float[Tensor, "B Q P N"] | None = None


class AttentionMechanism(nn.Module, ABC, Generic[Prepared]):
    """Queries [B Q query_dim] look at keys [B N key_dim]; the context is as wide as the values.

    kind: in words, for captions of figures. part_axis: what the parts of the weights are ("head", "hop"); None where
    there are none.
    """

    kind: str
    part_axis: str | None = None

    @abstractmethod
    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> Prepared:
        """All that does not depend on the query, worked out once for every query and step.

        values: the keys where not given. layout: where the keys lie on the picture; None for words.
        """

    @abstractmethod
    def forward(self, query: Float[Tensor, "B Q E"], keys: Prepared, step: int = 0) -> AttentionOutput:
        """Context [B Q D] and weights [B Q N] for Q queries per example; `step` counts a decoder's words from 0."""


def expected_value(weights: Float[Tensor, "*B Q N"], values: Float[Tensor, "*B N D"]) -> Float[Tensor, "*B Q D"]:
    """sum_i weights_i values_i."""
    return weights.to(values.dtype) @ values


def even_weights(members: Bool[Tensor, "*B N"], like: Tensor) -> Float[Tensor, "*B N"]:
    """Equal weights on the members, in the type of `like`; zero where there are none."""
    return members.to(like.dtype) / members.sum(-1, keepdim=True).clamp(min=1)
