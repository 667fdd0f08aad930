"""Several levels of attention brought together: the recursive answer encoding of Lu et al. 2016, section 3.4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RecursiveEncoding(nn.Module):
    """h_1 = tanh(W_1 x_1), h_l = tanh(W_l [x_l; h_{l-1}]): from words over phrases to the question (equation 7).

    Dropout stands before each layer, as in the released code. `dims` holds the width of each h_l.
    """

    def __init__(self, input_dim: int, dims: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        below = (0, *dims[:-1])
        self.layers = nn.ModuleList(nn.Linear(input_dim + width, dim) for width, dim in zip(below, dims, strict=True))
        self.dropout = nn.Dropout(dropout)

    def forward(self, levels: Sequence[Float[Tensor, "*B D"]]) -> Float[Tensor, "*B E"]:
        """The last level's encoding, [*B dims[-1]], of one summary [*B D] per level, lowest first."""
        hidden: Tensor | None = None
        for layer, level in zip(self.layers, levels, strict=True):
            joined = level if hidden is None else torch.cat([level, hidden], -1)
            hidden = torch.tanh(layer(self.dropout(joined)))
        assert hidden is not None  # zip is strict and `dims` is not empty
        return hidden
