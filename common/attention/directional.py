"""Directional self-attention with one distribution per feature (Shen et al. 2018, "DiSAN").

Shapes: B texts of N words, D features.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.representations import expected_features

Direction = Literal["forward", "backward", "diagonal"]
BOUND = 5.0  # c, which bounds the logits to -5..5
_ADMITS = {"forward": torch.lt, "backward": torch.gt, "diagonal": torch.ne}  # of (j, i)


class DirectionalSelfAttention(nn.Module):
    """Each word gathers, feature by feature, from the words before or after it (section 4.1, equations 15-20).

        h_i = elu(W x_i + b),  f(h_i, h_j) = c tanh((W_1 h_j + W_2 h_i + b_1) / c)   (D numbers), c = 5
        P_ijd = softmax_j(f_d) over the admitted j,  s_id = sum_j P_ijd h_jd
        g = sigmoid(W_h h_i + W_s s_i + b_g),  u_i = g * h_i + (1 - g) * s_i

    direction: "forward" admits j < i, "backward" j > i, "diagonal" j != i. A word that may look at none, such as the
    first one forward, has s = 0. Dropout stands before the logits alone, as in the released code.
    Time and memory: N * N * D for each text; meant for questions and captions, not for hundreds of regions.
    """

    def __init__(self, input_dim: int, dim: int, direction: Direction, dropout: float = 0.0) -> None:
        super().__init__()
        self.direction = direction
        self.map_input = nn.Linear(input_dim, dim)
        self.map_attended = nn.Linear(dim, dim)
        self.map_attending = nn.Linear(dim, dim, bias=False)
        self.gate_own = nn.Linear(dim, dim)
        self.gate_gathered = nn.Linear(dim, dim, bias=False)
        self.distribution = Softmax()
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "B N K"], keep: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N N"]]:
        """Words [B N D], zero at padding, and where each looked [B N N], the mean over the features."""
        hidden = nn.functional.elu(self.map_input(items))
        dropped = self.dropout(hidden)
        attended = self.map_attended(dropped).transpose(1, 2).unsqueeze(1)  # [B 1 D N]
        logits = BOUND * torch.tanh((attended + self.map_attending(dropped).unsqueeze(-1)) / BOUND)  # [B N D N]
        position = torch.arange(keep.shape[1], device=keep.device)
        admitted = _ADMITS[self.direction](position, position.unsqueeze(1))  # [N N]: may i look at j?
        weights = self.distribution(logits, (keep.unsqueeze(1) & admitted).unsqueeze(2))
        gathered = expected_features(weights, hidden)
        gate = torch.sigmoid(self.gate_own(hidden) + self.gate_gathered(gathered))
        fused = gate * hidden + (1 - gate) * gathered
        return fused * keep.unsqueeze(-1), weights.mean(2) * keep.unsqueeze(-1)


class PooledKeys(NamedTuple):
    """The one look that is the same for every query."""

    context: Float[Tensor, "B 1 D"]
    parts: Float[Tensor, "B 1 D N"]


class SourceToToken(AttentionMechanism[PooledKeys]):
    """Pooling with one distribution per feature, whatever the query (section 3.2, "source2token").

        f(x_i) = W_2 elu(W_1 x_i + b_1) + b_2   (D numbers)
        P_id = softmax_i(f(x_i)_d),  context_d = sum_i P_id x_id

    Time and memory: N D, once for all queries. After a `DirectionalTextEncoder` it is the second half of DiSAN.
    """

    kind = "source2token"
    part_axis = "feature"

    def __init__(self, key_dim: int, hidden_dim: int | None = None) -> None:
        super().__init__()
        hidden_dim = hidden_dim or key_dim
        self.score = nn.Sequential(nn.Linear(key_dim, hidden_dim), nn.ELU(), nn.Linear(hidden_dim, key_dim))
        self.distribution = Softmax()

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> PooledKeys:
        """The whole look, since it needs no query."""
        logits = self.score(keys).transpose(1, 2).unsqueeze(1)  # [B 1 D N]
        parts = self.distribution(logits, keep[:, None, None])
        return PooledKeys(expected_features(parts, keys if values is None else values), parts)

    def forward(self, query: Float[Tensor, "B Q E"], keys: PooledKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D], weights [B Q N] and those of each feature [B Q D N], the same for every query."""
        context, weights, parts = (
            each.expand(-1, query.shape[1], *each.shape[2:]) for each in (keys.context, keys.parts.mean(2), keys.parts)
        )
        return AttentionOutput(context, weights, parts=parts)
