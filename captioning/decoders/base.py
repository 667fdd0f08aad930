"""What every caption decoder is to the objectives and the search.

Shapes: B pictures, Q sequences of each (captions, beams or samples), T words, R regions, V words in the vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import AttentionMechanism, VisualFeatures
from common.search.decoder import State, Step


@runtime_checkable
class AttentionFactory(Protocol):
    """Makes attention for the widths that a decoder has: the decoder's signature names what it needs."""

    def __call__(self, *, query_dim: int, key_dim: int) -> AttentionMechanism[Any]:
        """Attention of queries [.. query_dim] to keys [.. key_dim]."""
        ...


class TeacherForced(NamedTuple):
    """The decoder's output on given captions. The M valid words stand in the row-major order of `keep`.

    log_probs: in at least float32, as `word_log_probs` makes them.
    attention_log_prob, entropy: of hard attention's choices; None for other attention.
    parts: the weights of each of P heads, hops, ..., see `AttentionOutput`; None where there is but one distribution.
    """

    log_probs: Float[Tensor, "M V"]
    weights: Float[Tensor, "B Q T R"]
    attention_log_prob: Float[Tensor, "B Q T"] | None = None
    entropy: Float[Tensor, "B Q T"] | None = None
    parts: Float[Tensor, "B Q T P R"] | None = None


class Decoder(nn.Module, ABC, Generic[State]):
    """Words from regions, one after the other.

    kind: of its attention in words, for captions of figures. part_axis: what the parts of the weights are ("head",
    "hop"); None where there are none.
    """

    kind: str
    part_axis: str | None = None

    @abstractmethod
    def start(self, features: VisualFeatures, sequences: int = 1) -> State:
        """The state before the first word, for `sequences` sequences of each picture; regions are never copied."""

    @abstractmethod
    def step(self, tokens: Int[Tensor, "B Q"], state: State) -> Step[State]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""

    @abstractmethod
    def forward(
        self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> TeacherForced:
        """Log-probabilities [M V] of what follows each valid word of given captions [B Q T]."""
