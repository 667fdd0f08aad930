"""What the recurrent decoders have in common: LSTMs that go word by word, in training too, and look at each.

A word's way: its embedding E y_{t-1} (`embed`) adds its part to the LSTM's gates, for all words of given captions in
one product (`word_gates`); one step of recurrence and attention takes it further (`advance`); from what that leaves to
be read, the output layer, by far the widest, makes log-probabilities for all valid words at once (`log_probs`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from captioning.decoders.base import Decoder, TeacherForced
from common.attention import AttentionMechanism, AttentionOutput, VisualFeatures
from common.attention.steps import one_loop
from common.search.decoder import State, Step

Outcome = TypeVar("Outcome")


class Look(NamedTuple):
    """What a step leaves behind: what the output layer reads, each [B Q *], and what the attention returned."""

    read: tuple[Float[Tensor, "B Q _D"], ...]
    attention: AttentionOutput


class RecurrentDecoder(Decoder[State]):
    """A decoder that looks at each word before the next one comes in; its parts make the paper's equations.

    dropout: of the embedding.
    """

    attention: AttentionMechanism[Any]
    embedding: nn.Embedding
    word_gates: nn.Linear
    dropout: nn.Dropout

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of its attention."""
        return self.attention.kind

    @property
    def part_axis(self) -> str | None:  # type: ignore[override]
        """What the parts of its attention are."""
        return self.attention.part_axis

    @abstractmethod
    def advance(self, word_gates: Float[Tensor, "B Q G"], state: State) -> tuple[State, Look]:
        """One step of attention and LSTM, with the word's part of the gates."""

    @abstractmethod
    def log_probs(self, embedded: Float[Tensor, "*M E"], *read: Float[Tensor, "*M _D"]) -> Float[Tensor, "*M V"]:
        """Log-probabilities of the next word."""

    def embed(self, tokens: Int[Tensor, "*B"]) -> Float[Tensor, "*B E"]:
        """E y."""
        return self.dropout(self.embedding(tokens))

    def step(self, tokens: Int[Tensor, "B Q"], state: State) -> Step[State]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        embedded, gates = self._words(tokens)
        state, look = self.advance(gates, state)
        return Step(self.log_probs(embedded, *look.read), state, look.attention)

    def _words(self, tokens: Int[Tensor, "B Q"]) -> tuple[Float[Tensor, "B Q E"], Float[Tensor, "B Q G"]]:
        """Embeddings and gates of words, worked out once for each word; with dropout once for each sequence."""
        if self.training or torch.is_grad_enabled():
            embedded = self.embed(tokens)
            return embedded, self.word_gates(embedded)
        words, index = tokens.unique(return_inverse=True)
        embedded = self.embed(words)
        return embedded[index], self.word_gates(embedded)[index]

    def forward(
        self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> TeacherForced:
        """Log-probabilities [M V] of what follows each valid word of given captions [B Q T]."""
        embedded = self.embed(tokens)  # [B Q T E]
        steps = unroll(self.advance, self.word_gates(embedded), self.start(features, tokens.shape[1]))
        looks = [look for _, look in steps]
        read = (torch.stack(each, 2)[keep] for each in zip(*(look.read for look in looks), strict=True))  # [M _D]
        log_probs = self.log_probs(embedded[keep], *read)
        attentions = [look.attention for look in looks]
        log_prob, entropy, parts = (_stacked(attentions, name) for name in ("log_prob", "entropy", "parts"))
        weights = torch.stack([each.weights for each in attentions], 2)  # [B Q T R]
        return TeacherForced(log_probs, weights, log_prob, entropy, parts)


def unroll(
    advance: Callable[[Tensor, State], tuple[State, Outcome]], gates: Float[Tensor, "B Q T G"], state: State
) -> list[tuple[State, Outcome]]:
    """State and outcome of each step over T words, from their parts of the gates."""
    steps = []
    with one_loop():
        for word in gates.unbind(2):
            state, outcome = advance(word, state)
            steps.append((state, outcome))
    return steps


def projection(region_dim: int, feature_dim: int | None, dropout: float) -> nn.Module:
    """Linear, ReLU and dropout to the width `feature_dim`; None leaves the regions as they are."""
    if not feature_dim:
        return nn.Identity()
    return nn.Sequential(nn.Linear(region_dim, feature_dim), nn.ReLU(), nn.Dropout(dropout))


def follow(parents: Int[Tensor, "B Q"], *memories: Float[Tensor, "B _Q _H"]) -> tuple[Float[Tensor, "B Q _H"], ...]:
    """What sequence q remembers when it continues sequence parents[q] of its picture."""
    return tuple(each.gather(1, parents.unsqueeze(-1).expand(-1, -1, each.shape[-1])) for each in memories)


def _stacked(steps: Sequence[AttentionOutput], name: str) -> Float[Tensor, "B Q T *parts"] | None:
    """What the attention returned at each step under this name; None where it returns none."""
    values = [getattr(step, name) for step in steps]
    return None if values[0] is None else torch.stack(values, 2)
