"""What the search needs to know of a decoder.

Shapes: B pictures, Q sequences of each (captions, beams or samples), R regions, V words in the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import Self

from common.attention import AttentionOutput, Boxes, Grid


@runtime_checkable
class DecoderState(Protocol):
    """What a decoder remembers between two words.

    A NamedTuple, also of lists and tuples, whose tensors have the B pictures first, or 1 for all: pictures whose words
    are all written are left out of it.
    """

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q] of its picture; there may be more than before."""
        ...


State = TypeVar("State", bound=DecoderState)


@dataclass(frozen=True)
class Step(Generic[State]):
    """One word further.

    log_probs: in at least float32, as `word_log_probs` makes them.
    """

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
        """Log-probabilities [B Q V] of the next word after `tokens`, which the caller may write into."""
        ...


def word_log_probs(logits: Float[Tensor, "*M V"]) -> Float[Tensor, "*M V"]:
    """Log-probabilities of the words, in at least float32; autocast on a CPU would leave them in bfloat16."""
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def pick(state: Any, pictures: Int[Tensor, " S"], batch: int) -> Any:
    """Of a state, or any part of one, that of S of the `batch` pictures.

    Raises:
        TypeError: it has a part of which that is not known (see `DecoderState`).
    """
    if isinstance(state, Tensor):
        return state if len(state) != batch else state[pictures]
    if isinstance(state, (Grid, Boxes)):
        return state.select(pictures)
    if isinstance(state, (list, tuple)):
        parts = [pick(part, pictures, batch) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if state is None or isinstance(state, (bool, int, float, str)):
        return state
    raise TypeError(f"a decoder's state is a NamedTuple of tensors with the pictures first, and this has {type(state)}")
