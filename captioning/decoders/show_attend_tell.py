"""Show, Attend and Tell (Xu et al. 2015): an LSTM that looks at regions before each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import AttentionFactory, Decoder, TeacherForced
from captioning.decoders.lstm import initialise_gates, lstm_cell
from common.attention import AttentionMechanism, AttentionOutput, VisualFeatures
from common.search import Step


class ShowAttendTellState(NamedTuple):
    """The LSTM's state after `step` words, and the regions as the attention wants them."""

    hidden: Float[Tensor, "B Q H"]
    cell: Float[Tensor, "B Q H"]
    keys: Any  # the regions as the attention prepared them
    step: int = 0

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; the regions [B R D] are shared, not moved."""
        index = parents.unsqueeze(-1).expand(-1, -1, self.hidden.shape[-1])
        return self._replace(hidden=self.hidden.gather(1, index), cell=self.cell.gather(1, index))


class ShowAttendTell(Decoder[ShowAttendTellState]):
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

    attention: AttentionMechanism[Any]

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
        self.project = (
            nn.Sequential(nn.Linear(region_dim, width), nn.ReLU(), nn.Dropout(dropout))
            if feature_dim
            else nn.Identity()
        )
        self.attention = attention(query_dim=hidden_dim, key_dim=width)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.start_hidden = nn.Linear(width, hidden_dim)
        self.start_cell = nn.Linear(width, hidden_dim)
        self.word_gates = nn.Linear(embedding_dim, 4 * hidden_dim)
        self.context_gates = nn.Linear(width, 4 * hidden_dim, bias=False)
        self.hidden_gates = nn.Linear(hidden_dim, 4 * hidden_dim, bias=False)
        self.gate = nn.Linear(hidden_dim, 1) if gate else None
        self.output_hidden = nn.Linear(hidden_dim, embedding_dim, bias=False)
        self.output_context = nn.Linear(width, embedding_dim, bias=False)
        self.output = nn.Linear(embedding_dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.Sequential(nn.Tanh(), nn.Dropout(dropout)) if variant == "code" else nn.Identity()
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        initialise_gates(self.hidden_gates, self.word_gates)  # orthogonal, as in the released code

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of its attention."""
        return self.attention.kind

    @property
    def part_axis(self) -> str | None:  # type: ignore[override]
        """What the parts of its attention are."""
        return self.attention.part_axis

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

    def step(self, tokens: Int[Tensor, "B Q"], state: ShowAttendTellState) -> Step[ShowAttendTellState]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        embedded = self.dropout(self.embedding(tokens))
        state, context, attention = self._advance(self.word_gates(embedded), state)
        return Step(self._log_probs(embedded, state.hidden, context), state, attention)

    def forward(
        self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> TeacherForced:
        """Log-probabilities [M V] of what follows each valid word of given captions [B Q T]."""
        state = self.start(features, tokens.shape[1])
        embedded = self.dropout(self.embedding(tokens))  # [B Q T E]
        hiddens, contexts, attentions = [], [], []
        for gates in self.word_gates(embedded).unbind(2):
            state, context, attention = self._advance(gates, state)
            hiddens.append(state.hidden)
            contexts.append(context)
            attentions.append(attention)
        # The output layer, by far the widest, runs once over all valid words.
        hidden, context = (torch.stack(steps, 2)[keep] for steps in (hiddens, contexts))  # [M H], [M D]
        log_probs = self._log_probs(embedded[keep], hidden, context)
        log_prob, entropy, parts = (_stacked(attentions, name) for name in ("log_prob", "entropy", "parts"))
        weights = torch.stack([each.weights for each in attentions], 2)  # [B Q T R]
        return TeacherForced(log_probs, weights, log_prob, entropy, parts)

    def _advance(
        self, word_gates: Float[Tensor, "B Q G"], state: ShowAttendTellState
    ) -> tuple[ShowAttendTellState, Float[Tensor, "B Q D"], AttentionOutput]:
        """One step of attention and LSTM: the new state, the gated context z_t, and what the attention returned."""
        attention = self.attention(state.hidden, state.keys, state.step)
        context = attention.context
        if self.gate is not None:
            context = context * torch.sigmoid(self.gate(state.hidden))
        gates = word_gates + self.context_gates(context) + self.hidden_gates(state.hidden)
        hidden, cell = lstm_cell(gates, state.cell)
        return state._replace(hidden=hidden, cell=cell, step=state.step + 1), context, attention

    def _log_probs(
        self, embedded: Float[Tensor, "*M E"], hidden: Float[Tensor, "*M H"], context: Float[Tensor, "*M D"]
    ) -> Float[Tensor, "*M V"]:
        """The deep output layer (equation 7)."""
        summed = embedded + self.output_hidden(self.dropout(hidden)) + self.output_context(context)
        return self.output(self.activation(summed)).log_softmax(-1)


def _stacked(steps: Sequence[AttentionOutput], name: str) -> Float[Tensor, "B Q T *parts"] | None:
    """What the attention returned at each step under this name; None where it returns none."""
    values = [getattr(step, name) for step in steps]
    return None if values[0] is None else torch.stack(values, 2)
