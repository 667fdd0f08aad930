"""Show, Attend and Tell (Xu et al. 2015): an LSTM that looks at regions before each word."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import AttentionFactory
from captioning.decoders.lstm import initialise_gates, lstm_cell
from captioning.decoders.recurrent import Look, RecurrentDecoder, follow, projection
from common.attention import VisualFeatures
from common.attention.steps import StepLinear
from common.search.decoder import word_log_probs


class ShowAttendTellState(NamedTuple):
    """The LSTM's state after `step` words, and the regions as the attention wants them."""

    hidden: Float[Tensor, "B Q H"]
    cell: Float[Tensor, "B Q H"]
    keys: Any  # the regions as the attention prepared them
    step: int = 0

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; the regions [B R D] are shared, not moved."""
        hidden, cell = follow(parents, self.hidden, self.cell)
        return self._replace(hidden=hidden, cell=cell)


class ShowAttendTell(RecurrentDecoder[ShowAttendTellState]):
    """Equations 1-9 of the paper.

        z_t = beta_t sum_i alpha_ti a_i,  alpha_t = attention(h_{t-1}, a),  beta_t = sigmoid(w h_{t-1} + b)
        h_t, c_t = LSTM([E y_{t-1}; z_t], h_{t-1}, c_{t-1}),  h_0, c_0 = tanh(linear(mean_i a_i))
        p(y_t) = softmax(L_o f(E y_{t-1} + L_h h_t + L_z z_t))

    The first word before all, y_0, is the start's own embedding. The released code has a zero vector there, and two
    layers more than the paper, which are not here: tanh(a_i W + b) within the attention, and a ReLU layer before h_0
    and c_0.

    Args:
        attention: makes the attention of the state to the regions: soft, hard, with any score.
        gate: whether beta scales the context.
        variant: f above. "paper": the identity. "code": tanh and dropout, as released.
        feature_dim: the width to which the regions are brought first (linear, ReLU, dropout), for encoders whose
            regions are much wider than the paper's 512; None leaves them as they are, as in the paper.
        dropout: of the embedding, of h_t before the output, and in `feature_dim`'s layer.
    """

    def __init__(
        self,
        vocabulary_size: int,
        region_dim: int,
        attention: AttentionFactory,
        embedding_dim: int = 512,
        hidden_dim: int = 512,
        feature_dim: int | None = None,
        dropout: float = 0.5,
        gate: bool = True,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        width = feature_dim or region_dim
        self.project = projection(region_dim, feature_dim, dropout)
        self.attention = attention(query_dim=hidden_dim, key_dim=width)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.start_hidden = nn.Linear(width, hidden_dim)
        self.start_cell = nn.Linear(width, hidden_dim)
        self.word_gates = nn.Linear(embedding_dim, 4 * hidden_dim)
        self.context_gates = StepLinear(width, 4 * hidden_dim, bias=False)
        self.hidden_gates = StepLinear(hidden_dim, 4 * hidden_dim, bias=False)
        self.gate = nn.Linear(hidden_dim, 1) if gate else None
        self.output_hidden = nn.Linear(hidden_dim, embedding_dim, bias=False)
        self.output_context = nn.Linear(width, embedding_dim, bias=False)
        self.output = nn.Linear(embedding_dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.Sequential(nn.Tanh(), nn.Dropout(dropout)) if variant == "code" else nn.Identity()
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        initialise_gates(self.hidden_gates, self.word_gates)  # orthogonal, as in the released code

    def start(self, features: VisualFeatures, sequences: int = 1) -> ShowAttendTellState:
        """The state [B Q H] before the first word, from the mean of the valid regions [B R D]."""
        regions = VisualFeatures(self.project(features.values), features.keep, features.layout)
        mean = regions.mean()
        hidden, cell = (
            torch.tanh(linear(mean)).unsqueeze(1).expand(-1, sequences, -1)
            for linear in (self.start_hidden, self.start_cell)
        )
        keys = self.attention.prepare(regions.values, regions.keep, layout=regions.layout)
        return ShowAttendTellState(hidden, cell, keys)

    def advance(
        self, word_gates: Float[Tensor, "B Q G"], state: ShowAttendTellState
    ) -> tuple[ShowAttendTellState, Look]:
        """Look with h_{t-1}, then one step of the LSTM; h_t and z_t are read."""
        attention = self.attention(state.hidden, state.keys, state.step)
        context = attention.context
        if self.gate is not None:
            context = context * torch.sigmoid(self.gate(state.hidden))
        gates = word_gates + self.context_gates(context) + self.hidden_gates(state.hidden)
        hidden, cell = lstm_cell(gates, state.cell)
        return state._replace(hidden=hidden, cell=cell, step=state.step + 1), Look((hidden, context), attention)

    def log_probs(self, embedded: Float[Tensor, "*M E"], *read: Float[Tensor, "*M _D"]) -> Float[Tensor, "*M V"]:
        """The deep output layer (equation 7), of h_t and z_t."""
        hidden, context = read
        summed = embedded + self.output_hidden(self.dropout(hidden)) + self.output_context(context)
        return word_log_probs(self.output(self.activation(summed)))
