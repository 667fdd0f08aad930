"""Adaptive attention (Lu et al. 2017): an LSTM that decides at each word whether to look at the picture at all."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import AttentionFactory, Decoder, TeacherForced
from captioning.decoders.lstm import initialise_gates, lstm_cell
from captioning.decoders.recurrent import follow, unroll
from common.attention import AttentionOutput, PreparedKeys, SentinelAttention, VisualFeatures
from common.attention.steps import StepLinear
from common.search import Step
from common.search.decoder import word_log_probs


class AdaptiveState(NamedTuple):
    """The LSTM's state, and what of the picture is shared by all its sequences."""

    hidden: Float[Tensor, "B Q H"]
    cell: Float[Tensor, "B Q H"]
    keys: PreparedKeys
    picture_gates: Float[Tensor, "B 1 G"]

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; the regions are shared, not moved."""
        hidden, cell = follow(parents, self.hidden, self.cell)
        return self._replace(hidden=hidden, cell=cell)


class AdaptiveAttention(Decoder[AdaptiveState]):
    """Equations 4-13 of the paper.

        v_i = relu(W_a a_i),  v_g = relu(W_b mean_i a_i),  x_t = [E y_{t-1}; v_g]
        h_t, m_t = LSTM(x_t, h_{t-1}, m_{t-1}),  h_0 = m_0 = 0
        g_t = sigmoid(W_x x_t + W_h h_{t-1}),  s_t = g_t tanh(m_t)
        c_t = sum_i alpha_ti v_i + beta_t s_t,  [alpha_t; beta_t] = attention(h_t, [v; s_t])
        p(y_t) = softmax(W_p (c_t + h_t))

    The weights of the regions sum to 1 - beta_t, how likely the word is grounded in the picture (section 5.3); an
    objective on the weights, such as `DoublyStochastic`, speaks against the sentinel. The LSTM sees no context, so that
    all words of given captions look at once.

    Args:
        attention: makes the attention of h_t to the regions: `Attention` with any score, its position Soft; see
            `SentinelAttention`.
        variant: "paper"; "code", with which the results in print were made, has layers more: relu after E,
            s_t = relu(W s_t) and h_t = tanh(W h_t) before the attention and the sum, tanh(W (c_t + h_t)) before W_p.
        dropout: of each relu's and tanh's output above, of the embedding, and before W_p.

    Raises:
        ValueError: the attention has no place for a sentinel.
    """

    attention: SentinelAttention

    def __init__(
        self,
        vocabulary_size: int,
        region_dim: int,
        attention: AttentionFactory,
        embedding_dim: int = 512,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        gates_dim = 5 * hidden_dim  # the LSTM's four, and the sentinel's
        code = variant == "code"

        def layer(activation: nn.Module, input_dim: int = hidden_dim) -> nn.Sequential:
            return nn.Sequential(nn.Linear(input_dim, hidden_dim), activation, nn.Dropout(dropout))

        self.attention = SentinelAttention(attention(query_dim=hidden_dim, key_dim=hidden_dim), hidden_dim)
        self.project_regions = layer(nn.ReLU(), region_dim)
        self.project_picture = layer(nn.ReLU(), region_dim)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.word = nn.Sequential(nn.ReLU() if code else nn.Identity(), nn.Dropout(dropout))
        self.word_gates = nn.Linear(embedding_dim, gates_dim)
        self.picture_gates = nn.Linear(hidden_dim, gates_dim, bias=False)
        self.hidden_gates = StepLinear(hidden_dim, gates_dim, bias=False)
        self.sentinel = layer(nn.ReLU()) if code else nn.Identity()
        self.query = layer(nn.Tanh()) if code else nn.Identity()
        self.join = layer(nn.Tanh()) if code else nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, vocabulary_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        initialise_gates(self.hidden_gates, self.word_gates)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of its attention."""
        return self.attention.kind

    def start(self, features: VisualFeatures, sequences: int = 1) -> AdaptiveState:
        """The state [B Q H] before the first word: zero; the picture [B R D] as the steps want it."""
        keys = self.attention.prepare(self.project_regions(features.values), features.keep, features.layout)
        gates = self.picture_gates(self.project_picture(features.mean())).unsqueeze(1)
        zero = gates.new_zeros(len(gates), sequences, self.hidden_gates.in_features)
        return AdaptiveState(zero, zero, keys, gates)

    def step(self, tokens: Int[Tensor, "B Q"], state: AdaptiveState) -> Step[AdaptiveState]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        state, sentinel = self._advance(self.word_gates(self.word(self.embedding(tokens))), state)
        summed, attention = self._look(state.hidden, sentinel, state.keys)
        return Step(self._log_probs(summed), state, attention)

    def forward(
        self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> TeacherForced:
        """Log-probabilities [M V] of what follows each valid word of given captions [B Q T]."""
        state = self.start(features, tokens.shape[1])
        steps = unroll(self._advance, self.word_gates(self.word(self.embedding(tokens))), state)
        hidden = torch.stack([state.hidden for state, _ in steps], 2).flatten(1, 2)  # [B Q*T H]
        sentinel = torch.stack([sentinel for _, sentinel in steps], 2).flatten(1, 2)
        summed, attention = self._look(hidden, sentinel, state.keys)
        return TeacherForced(
            self._log_probs(summed.unflatten(1, keep.shape[1:])[keep]),
            attention.weights.unflatten(1, keep.shape[1:]),
        )

    def _advance(
        self, word_gates: Float[Tensor, "B Q G"], state: AdaptiveState
    ) -> tuple[AdaptiveState, Float[Tensor, "B Q H"]]:
        """One step of the LSTM: the new state and the sentinel s_t."""
        gates = word_gates + state.picture_gates + self.hidden_gates(state.hidden)
        of_lstm, of_sentinel = gates.split([4 * state.hidden.shape[-1], state.hidden.shape[-1]], -1)
        hidden, cell = lstm_cell(of_lstm, state.cell)
        return state._replace(hidden=hidden, cell=cell), of_sentinel.sigmoid() * cell.tanh()

    def _look(
        self, hidden: Float[Tensor, "B N H"], sentinel: Float[Tensor, "B N H"], keys: PreparedKeys
    ) -> tuple[Float[Tensor, "B N H"], AttentionOutput]:
        """c_t + h_t, and what the attention returned, of N words."""
        query = self.query(hidden)
        attention, _ = self.attention(query, self.sentinel(sentinel), keys)
        return attention.context + query, attention

    def _log_probs(self, summed: Float[Tensor, "*M H"]) -> Float[Tensor, "*M V"]:
        return word_log_probs(self.output(self.join(summed)))
