"""Alignment functions a(query, key), those of the survey's table (Chaudhari et al., arXiv 1904.02874, section 3).

Each splits its work in two: `project` does what depends on the keys alone, once per picture or text; `forward` does
the rest for each query. Shapes: B examples, Q queries each, N keys.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from common.attention.additive import DecayedKeys, additive_logits, prepared
from common.attention.steps import StepLinear

Activation = Literal["tanh", "relu", "sigmoid", "identity"]
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


class Score(nn.Module, ABC):
    """a(q, k): how well each key fits each query."""

    def project(self, keys: Float[Tensor, "B N K"]) -> Any:
        """What does not depend on the query, [B N P]; the keys themselves where there is nothing to do."""
        return keys

    @abstractmethod
    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N P"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N] of each query for each key."""


def _require_equal(score: str, query_dim: int, key_dim: int) -> None:
    if query_dim != key_dim:
        raise ValueError(
            f"{score} needs queries and keys of one width, got {query_dim} and {key_dim}; use GeneralScore"
        )


class DotScore(Score):
    """k . q (Luong et al. 2015)."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()
        _require_equal("DotScore", query_dim, key_dim)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        return query @ projected.transpose(1, 2)


class ScaledDotScore(DotScore):
    """k . q / sqrt(D) (Vaswani et al. 2017, equation 1)."""

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        return super().forward(query, projected) / math.sqrt(query.shape[-1])


class GeneralScore(Score):
    """k^T W q, with `bias` k^T (W q + b) (biased general)."""

    def __init__(self, query_dim: int, key_dim: int, bias: bool = False) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, key_dim, bias=bias)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N K"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        return self.map_query(query) @ projected.transpose(1, 2)


class ActivatedGeneralScore(GeneralScore):
    """act(k^T W q + b), b a scalar (Ma et al. 2017)."""

    def __init__(self, query_dim: int, key_dim: int, activation: Activation = "tanh") -> None:
        super().__init__(query_dim, key_dim)
        self.offset = nn.Parameter(torch.zeros(()))
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N K"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        return self.activation(super().forward(query, projected) + self.offset)


class AdditiveScore(Score):
    """v . tanh(W_q q + W_k k + b) (Bahdanau et al. 2015; Luong's concat with W = [W_q W_k] is the same function)."""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.map_query = StepLinear(query_dim, hidden_dim, bias=False)
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.vector = nn.Parameter(torch.empty(hidden_dim))
        nn.init.uniform_(self.vector, -1 / math.sqrt(hidden_dim), 1 / math.sqrt(hidden_dim))

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N E"] | DecayedKeys:
        """W_k k + b, brought to what is cheaper to look at where many looks follow."""
        return prepared(self.map_key(keys))

    def forward(
        self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N E"] | DecayedKeys
    ) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        mapped = self.map_query(query)
        if isinstance(projected, DecayedKeys):
            return additive_logits(mapped, projected, self.vector)
        dtype = mapped.dtype  # under autocast the parameter is wider than what the linear maps return
        return additive_logits(mapped, projected.to(dtype), self.vector.to(dtype))


class ConcatScore(Score):
    """v . tanh(W [q; k]) (Luong et al. 2015, equation 8), computed as the sum of both halves of W."""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.query_dim = query_dim
        self.map_pair = nn.Linear(query_dim + key_dim, hidden_dim, bias=False)
        self.score = nn.Linear(hidden_dim, 1, bias=False)

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N E"]:
        """The keys' half of W [q; k]."""
        return keys @ self.map_pair.weight[:, self.query_dim :].T

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N E"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        mapped = query @ self.map_pair.weight[:, : self.query_dim].T
        return self.score(torch.tanh(mapped.unsqueeze(2) + projected.unsqueeze(1))).squeeze(-1)


class DeepScore(Score):
    """w . h_L + b with h_l = act(W_l h_{l-1} + b_l) and h_0 = act(W_1 q + W_0 k + b_1) (Pavlopoulos et al. 2017)."""

    def __init__(
        self, query_dim: int, key_dim: int, hidden_dim: int = 512, layers: int = 1, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.layers = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(layers))
        self.score = nn.Linear(hidden_dim, 1)
        self.activation = _ACTIVATIONS[activation]()

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N E"]:
        """W_0 k + b_1."""
        return self.map_key(keys)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N E"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        hidden = self.activation(self.map_query(query).unsqueeze(2) + projected.unsqueeze(1))  # [B Q N E]
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        return self.score(hidden).squeeze(-1)


class GatedScore(Score):
    """w . (tanh(W [q; k] + b) * sigmoid(W' [q; k] + b')), a gated tanh (Anderson et al. 2018, section 3.3).

    Each matrix is applied to query and key apart, so that the pair is never formed.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, 2 * hidden_dim, bias=False)  # of W and W'
        self.map_key = nn.Linear(key_dim, 2 * hidden_dim)
        self.score = nn.Linear(hidden_dim, 1, bias=False)
        for layer in (self.map_query, self.map_key, self.score):
            nn.init.xavier_uniform_(layer.weight)  # a gate halves what passes; PyTorch's own would leave too little

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N E"]:
        """The keys' part of both products, with the offsets."""
        return self.map_key(keys)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N E"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        value, gate = (self.map_query(query).unsqueeze(2) + projected.unsqueeze(1)).chunk(2, -1)  # [B Q N E/2]
        return self.score(torch.tanh(value) * torch.sigmoid(gate)).squeeze(-1)


def _unit(vectors: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
    """Vectors of length one; zero stays zero, in float16 too, where the customary 1e-12 is no number."""
    return nn.functional.normalize(vectors, dim=-1, eps=max(1e-12, torch.finfo(vectors.dtype).tiny))


class CosineScore(Score):
    """beta cos(q, k), beta > 0 learned (content addressing of the Neural Turing Machine, Graves et al. 2014)."""

    def __init__(self, query_dim: int, key_dim: int, sharpness: float = 1.0) -> None:
        super().__init__()
        _require_equal("CosineScore", query_dim, key_dim)
        if not sharpness > 0:
            raise ValueError(f"sharpness must be > 0, got {sharpness}")
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))

    def project(self, keys: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Keys of length one; a zero key stays zero."""
        return _unit(keys)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N]."""
        return self.log_sharpness.exp() * (_unit(query) @ projected.transpose(1, 2))


class LocationScore(Score):
    """W q, one row per position: the keys' values play no part (Luong et al. 2015, location-based)."""

    def __init__(self, query_dim: int, positions: int) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, positions, bias=False)

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N P"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N].

        Raises:
            ValueError: there are not as many keys as positions.
        """
        if projected.shape[1] != self.map_query.out_features:
            raise ValueError(
                f"LocationScore has {self.map_query.out_features} positions, the keys {projected.shape[1]}"
            )
        return self.map_query(query)


class FeatureScore(Score):
    """w . act(W_1 f_1(k) + b): the keys alone are scored, whatever the query (Li et al. 2019, feature-based)."""

    def __init__(self, key_dim: int, hidden_dim: int = 512, activation: Activation = "tanh") -> None:
        super().__init__()
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1, bias=False)
        self.activation = _ACTIVATIONS[activation]()

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N 1"]:
        """The whole score, since it needs no query."""
        return self.score(self.activation(self.map_key(keys)))

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N 1"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N], the same for every query."""
        return projected.transpose(1, 2).expand(-1, query.shape[1], -1)
