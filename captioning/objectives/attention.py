"""What attention should look like, whatever is looked for."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from captioning.objectives.base import Captions, Objective
from common.attention.structured import redundancy
from common.errors import ConfigError


class DoublyStochastic(Objective):
    """weight * sum_i (1 - sum_t alpha_ti)^2: each region is looked at about once (Xu et al. 2015, equation 14).

    `reduction`: "paper" sums over regions and takes the mean over captions; "code" (as released) takes the mean over
    regions and sums over captions; "mean" takes the mean over both. Weight 1 means three different things. None of them
    is the paper's balance, whose likelihood is the sum over a caption's words: beside our mean over words (see
    `CrossEntropy`) its weight is to be divided by the captions' length.
    """

    def __init__(self, weight: float = 1.0, reduction: Literal["paper", "code", "mean"] = "paper") -> None:
        super().__init__()
        self.weight = weight
        self.reduction = reduction

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalar "doubly_stochastic" of weights [B Q T R]; padded steps and regions count for nothing."""
        regions = captions.features.keep
        seen = (captions.output.weights * captions.keep.unsqueeze(-1)).sum(2)  # [B Q R]
        given = captions.keep.any(-1)  # [B Q]
        missed = (1 - seen).square() * regions.unsqueeze(1) * given.unsqueeze(-1)  # [B Q R]
        penalty = missed.sum(-1)  # [B Q]
        if self.reduction != "paper":
            penalty = penalty / regions.sum(-1, keepdim=True).clamp(min=1)  # a picture may have none
        total = penalty.sum() if self.reduction == "code" else penalty.sum() / given.sum()
        return {"doubly_stochastic": self.weight * total}

    def counted(self, captions: Captions) -> dict[str, Int[Tensor, ""]]:
        """The captions; of sums, the pictures."""
        return {} if self.reduction == "code" else {"doubly_stochastic": captions.keep.any(-1).sum()}


class Redundancy(Objective):
    """weight * ||A A^T - I||_F^2 of the attention's parts A [P R], a mean over words: parts that see different regions.

    For glimpses, heads, or hops, of any attention that has such (Lin et al. 2017, equation 8, weight 1). It is zero
    where each part sees one region, and each another, so that it also makes maps narrow; it grows with P.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalar "redundancy" of the parts [B Q T P R].

        Raises:
            ConfigError: the attention has no parts.
        """
        parts = captions.output.parts
        if parts is None:
            raise ConfigError(
                "Redundancy is for attention with parts (glimpses, heads, hops), such as common.attention.MultiHead"
            )
        return {"redundancy": self.weight * redundancy(parts[captions.keep]).mean()}

    def counted(self, captions: Captions) -> dict[str, Int[Tensor, ""]]:
        """The words."""
        return {"redundancy": captions.keep.sum()}
