"""Bottom-up top-down (Anderson et al. 2018): one LSTM says where to look, another what to say."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import AttentionFactory
from captioning.decoders.lstm import initialise_gates, lstm_cell
from captioning.decoders.recurrent import Look, RecurrentDecoder, follow, projection
from common.attention import VisualFeatures
from common.attention.steps import StepLinear
from common.search.decoder import word_log_probs


class TopDownState(NamedTuple):
    """Both LSTMs' states after `step` words; the regions and their mean's part of the gates, shared by all."""

    hidden1: Float[Tensor, "B Q H"]
    cell1: Float[Tensor, "B Q H"]
    hidden2: Float[Tensor, "B Q H"]
    cell2: Float[Tensor, "B Q H"]
    keys: Any  # the regions as the attention prepared them
    picture_gates: Float[Tensor, "B 1 G"]
    step: int = 0

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; what is of the picture is shared, not moved."""
        hidden1, cell1, hidden2, cell2 = follow(parents, *self[:4])
        return self._replace(hidden1=hidden1, cell1=cell1, hidden2=hidden2, cell2=cell2)


class BottomUpTopDown(RecurrentDecoder[TopDownState]):
    """Equations 1-7 of the paper (section 3.2).

        h1_t = LSTM_1([h2_{t-1}; mean_i v_i; E y_{t-1}], h1_{t-1})                        (top-down attention)
        v_t = sum_i alpha_ti v_i,  alpha_t = attention(h1_t, v)                            (h1 of the same step)
        h2_t = LSTM_2([v_t; h1_t], h2_{t-1}),  p(y_t) = softmax(W_p h2_t + b_p)                       (language)

    All states begin at zero. "Bottom-up" are the regions: the paper's are a detector's boxes, any others do too. With
    `AdditiveScore` (512 wide) it is the paper's model, but that the score has an offset, which the paper's lacks. The
    released code agrees with the paper; it has no dropout at all.

    Args:
        attention: makes the attention of h1_t to the regions.
        feature_dim: the width to which the regions are brought first (linear, ReLU, dropout), as re-implementations
            do; None leaves them as they are, as in the paper.
        dropout: of the embedding, of h2_t before the output, and in `feature_dim`'s layer.
    """

    def __init__(
        self,
        vocabulary_size: int,
        region_dim: int,
        attention: AttentionFactory,
        embedding_dim: int = 1000,
        hidden_dim: int = 1000,
        feature_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width, gates_dim = feature_dim or region_dim, 4 * hidden_dim
        self.project = projection(region_dim, feature_dim, dropout)
        self.attention = attention(query_dim=hidden_dim, key_dim=width)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.word_gates = nn.Linear(embedding_dim, gates_dim)
        self.picture_gates = nn.Linear(width, gates_dim, bias=False)
        self.language_gates1 = StepLinear(hidden_dim, gates_dim, bias=False)
        self.hidden_gates1 = StepLinear(hidden_dim, gates_dim, bias=False)
        self.context_gates2 = StepLinear(width, gates_dim)
        self.attention_gates2 = StepLinear(hidden_dim, gates_dim, bias=False)
        self.hidden_gates2 = StepLinear(hidden_dim, gates_dim, bias=False)
        self.output = nn.Linear(hidden_dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        initialise_gates(self.hidden_gates1, self.word_gates)
        initialise_gates(self.hidden_gates2, self.context_gates2)

    def start(self, features: VisualFeatures, sequences: int = 1) -> TopDownState:
        """The state [B Q H] before the first word: zero; the regions [B R D], and their mean over the valid ones."""
        regions = VisualFeatures(self.project(features.values), features.keep, features.layout)
        keys = self.attention.prepare(regions.values, regions.keep, layout=regions.layout)
        gates = self.picture_gates(regions.mean()).unsqueeze(1)
        zero = gates.new_zeros(len(gates), sequences, self.hidden_gates1.in_features)
        return TopDownState(zero, zero, zero, zero, keys, gates)

    def advance(self, word_gates: Float[Tensor, "B Q G"], state: TopDownState) -> tuple[TopDownState, Look]:
        """LSTM_1, the look, LSTM_2; h2_t is read."""
        gates1 = word_gates + state.picture_gates
        gates1 = gates1 + self.language_gates1(state.hidden2) + self.hidden_gates1(state.hidden1)
        hidden1, cell1 = lstm_cell(gates1, state.cell1)
        attention = self.attention(hidden1, state.keys, state.step)
        gates2 = self.context_gates2(attention.context)
        gates2 = gates2 + self.attention_gates2(hidden1) + self.hidden_gates2(state.hidden2)
        hidden2, cell2 = lstm_cell(gates2, state.cell2)
        state = state._replace(hidden1=hidden1, cell1=cell1, hidden2=hidden2, cell2=cell2, step=state.step + 1)
        return state, Look((hidden2,), attention)

    def log_probs(self, embedded: Float[Tensor, "*M E"], *read: Float[Tensor, "*M _D"]) -> Float[Tensor, "*M V"]:
        """Of h2_t (equation 7)."""
        (hidden,) = read
        return word_log_probs(self.output(self.dropout(hidden)))
