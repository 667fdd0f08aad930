"""What the search needs to know of a decoder.

Shapes: B pictures, Q sequences of each (captions, beams or samples), R regions, V words in the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import Self

from common.attention import AttentionOutput


@runtime_checkable
class DecoderState(Protocol):
    """What a decoder remembers between two words."""

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q] of the same picture."""
        ...


State = TypeVar("State", bound=DecoderState)


@dataclass(frozen=True)
class Step(Generic[State]):
    """One word further."""

    log_probs: Float[Tensor, "B Q V"]
    state: State
    attention: AttentionOutput


@runtime_checkable
class Source(Protocol):
    """What is written about, such as `VisualFeatures`: the search asks for the number of pictures and the device."""

    @property
    def keep(self) -> Bool[Tensor, "B R"]:
        """True where a region is valid."""
        ...


About = TypeVar("About", bound=Source)
_About = TypeVar("_About", bound=Source, contravariant=True)


@runtime_checkable
class StepDecoder(Protocol[_About, State]):
    """Writes word by word."""

    def start(self, features: _About, sequences: int = 1) -> State:
        """The state before the first word, for `sequences` sequences of each picture."""
        ...

    def step(self, tokens: Int[Tensor, "B Q"], state: State) -> Step[State]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        ...
