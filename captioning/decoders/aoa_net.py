"""AoANet (Huang et al. 2019, "Attention on Attention"): regions refine each other; a look is gated by its query."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import AttentionFactory
from captioning.decoders.lstm import initialise_gates, lstm_cell
from captioning.decoders.recurrent import Look, RecurrentDecoder, follow
from common.attention import AoARefiner, VisualFeatures
from common.attention.multi_head import InformationGate
from common.attention.steps import StepLinear
from common.search.decoder import word_log_probs


class AoANetState(NamedTuple):
    """The LSTM's state and the context after `step` words; the refined regions and their mean, shared by all."""

    hidden: Float[Tensor, "B Q H"]
    cell: Float[Tensor, "B Q H"]
    context: Float[Tensor, "B Q H"]
    keys: Any  # the refined regions as the attention prepared them
    mean: Float[Tensor, "B 1 H"]
    step: int = 0

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; what is of the picture is shared, not moved."""
        hidden, cell, context = follow(parents, *self[:3])
        return self._replace(hidden=hidden, cell=cell, context=context)


class AoANet(RecurrentDecoder[AoANetState]):
    """The whole model of the paper (section 3): an encoder that refines the regions, and a decoder.

        A = refine(P a)                                                (`AoARefiner`, six layers)
        x_t = [E y_{t-1}; mean_i A_i + c_{t-1}],  h_t, m_t = LSTM(x_t, h_{t-1}, m_{t-1})
        v_t = attention(h_t, A),  c_t = g * i of [v_t; h_t]             (`InformationGate`, attention on attention)
        p(y_t) = softmax(W_p c_t)

    All states begin at zero. The paper's attention is `MultiHead` with 8 heads and `join: false`, whose last linear map
    the gate's would follow at once; any other goes. Its gate sees W_Q h_t, ours h_t itself as the released one does:
    what is linear in the former is so in the latter. The weights say which refined region was looked at, and where it
    came from only so far as a region stays itself; the refiner's residuals keep it so.

    Args:
        attention: makes the attention of h_t to the refined regions.
        refine_layers: of the refiner; its heads are 8.
        dropout: of the embedding, of what the refiner and the output layer read; released with 0.5 there, and 0.1 of
            the refiner's weights and 0.3 in its gates as here.
        variant: "paper": P is linear, the refiner's norm comes after each residual. "code", as released: P is followed
            by ReLU and dropout, the refiner's norm stands before each layer and another before the decoder's attention
            (not its gate), and there is dropout of c_{t-1} beside the mean.
    """

    def __init__(
        self,
        vocabulary_size: int,
        region_dim: int,
        attention: AttentionFactory,
        embedding_dim: int = 1024,
        hidden_dim: int = 1024,
        refine_layers: int = 6,
        dropout: float = 0.5,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        code, gates_dim = variant == "code", 4 * hidden_dim
        self.project = nn.Sequential(
            nn.Linear(region_dim, hidden_dim), nn.ReLU() if code else nn.Identity(), nn.Dropout(dropout)
        )
        self.refiner = AoARefiner(hidden_dim, refine_layers, norm="before" if code else "after")
        self.attention = attention(query_dim=hidden_dim, key_dim=hidden_dim)
        self.gate = InformationGate(hidden_dim, hidden_dim)
        self.query = nn.LayerNorm(hidden_dim) if code else nn.Identity()
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.word_gates = nn.Linear(embedding_dim, gates_dim)
        self.context_gates = StepLinear(hidden_dim, gates_dim, bias=False)
        self.hidden_gates = StepLinear(hidden_dim, gates_dim, bias=False)
        self.output = nn.Linear(hidden_dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        self.context_dropout = nn.Dropout(dropout if code else 0.0)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        initialise_gates(self.hidden_gates, self.word_gates)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the attention within, gated."""
        return f"{self.attention.kind}, attention on attention"

    def start(self, features: VisualFeatures, sequences: int = 1) -> AoANetState:
        """The state [B Q H] before the first word: zero; the regions [B R D], refined, and their mean."""
        values, _ = self.refiner(self.project(features.values), features.keep)
        regions = VisualFeatures(values, features.keep, features.layout)
        keys = self.attention.prepare(regions.values, regions.keep, layout=regions.layout)
        zero = values.new_zeros(len(values), sequences, values.shape[-1])
        return AoANetState(zero, zero, zero, keys, regions.mean().unsqueeze(1))

    def advance(self, word_gates: Float[Tensor, "B Q G"], state: AoANetState) -> tuple[AoANetState, Look]:
        """One step of the LSTM, then the look; c_t is read."""
        seen = state.mean + self.context_dropout(state.context)
        gates = word_gates + self.context_gates(seen) + self.hidden_gates(state.hidden)
        hidden, cell = lstm_cell(gates, state.cell)
        attention = self.attention(self.query(hidden), state.keys, state.step)
        context = self.gate(attention.context, hidden)
        state = state._replace(hidden=hidden, cell=cell, context=context, step=state.step + 1)
        return state, Look((context,), attention)

    def log_probs(self, embedded: Float[Tensor, "*M E"], *read: Float[Tensor, "*M _D"]) -> Float[Tensor, "*M V"]:
        """Of c_t."""
        (context,) = read
        return word_log_probs(self.output(self.dropout(context)))
