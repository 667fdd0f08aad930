"""The core of the taxonomy: attention = score x distribution x position."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from common.attention.distributions import Distribution, Sigmoid, Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.positions import GumbelStraightThrough, Hard, Position, Soft
from common.attention.scores import Score


class PreparedKeys(NamedTuple):
    """What attention needs of the keys, worked out once and used by every query and step."""

    projected: Any  # the score's part
    values: Float[Tensor, "B N D"]
    keep: Bool[Tensor, "B N"]
    begun: Any  # what the position draws or works out once per picture


class Attention(AttentionMechanism[PreparedKeys]):
    """A(q, K, V) = sum_i p(a(k_i, q)) v_i (Chaudhari et al., section 2), with the sum left to the position.

    Raises:
        ValueError: hard attention over weights that are no distribution.
    """

    def __init__(
        self, score: Score, distribution: Distribution | None = None, position: Position | None = None
    ) -> None:
        super().__init__()
        self.score = score
        self.distribution = distribution or Softmax()
        self.position = position or Soft()
        if isinstance(self.position, (Hard, GumbelStraightThrough)) and isinstance(self.distribution, Sigmoid):
            name = type(self.position).__name__
            raise ValueError(f"{name} draws one position, but Sigmoid's gates are no distribution: take Softmax")

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind in words, for captions of figures."""
        return self.position.kind

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> PreparedKeys:
        """The score's part of the keys [B N K], and what the position begins with."""
        begun = self.position.begin(keep, layout)
        return PreparedKeys(self.score.project(keys), keys if values is None else values, keep, begun)

    def forward(self, query: Float[Tensor, "B Q E"], keys: PreparedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D] and weights [B Q N] for Q queries per example."""
        logits = self.score(query, keys.projected)
        return self.position(query, logits, keys.values, keys.keep, self.distribution, keys.begun, step)
