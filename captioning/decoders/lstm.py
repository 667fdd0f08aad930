"""The LSTM cell whose gates the decoders add up themselves: each part of its input comes when it is known."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def lstm_cell(
    gates: Float[Tensor, "*B G"], cell: Float[Tensor, "*B H"]
) -> tuple[Float[Tensor, "*B H"], Float[Tensor, "*B H"]]:
    """The new hidden state and cell [*B H] from the sums [*B 4H] before the non-linearities.

    c = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c),  gates = [i; f; o; g]
    """
    write, forget, read, candidate = gates.chunk(4, -1)
    cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return read.sigmoid() * cell.tanh(), cell


def initialise_gates(hidden_gates: nn.Linear, biased: nn.Linear) -> None:
    """Orthogonal recurrent matrices, and a forget gate that starts open.

    Args:
        hidden_gates: from the state [.. H] to the gates [.. 4H], or to more than those four.
        biased: the part of the input that brings the gates' bias.
    """
    hidden_dim = hidden_gates.in_features
    with torch.no_grad():
        for block in hidden_gates.weight.split(hidden_dim):
            nn.init.orthogonal_(block)
        biased.bias.zero_()
        biased.bias[hidden_dim : 2 * hidden_dim] = 1
