"""Several decoders as one: words by the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.attention import AttentionOutput
from common.search.decoder import Source, Step, StepDecoder


@dataclass(frozen=True)
class Views:
    """The same pictures as each member of an ensemble sees them."""

    members: tuple[Any, ...]

    @property
    def keep(self) -> Bool[Tensor, "B R"]:
        """Of the first member: how many pictures there are."""
        first: Source = self.members[0]
        return first.keep


class EnsembleState(NamedTuple):
    """The states of the members."""

    members: tuple[Any, ...]

    def reorder(self, parents: Int[Tensor, "B Q"]) -> EnsembleState:
        """The state whose sequence q continues sequence parents[q] of its picture."""
        return EnsembleState(tuple(state.reorder(parents) for state in self.members))


class Ensemble:
    """p(y) = mean_m p_m(y), for members of one vocabulary; a decoder to the search.

    The weights are the mean of the members' where these look at equally many regions, else there are none (R = 0).
    """

    def __init__(self, members: Sequence[StepDecoder[Any, Any]]) -> None:
        self.members = tuple(members)

    def start(self, features: Views, sequences: int = 1) -> EnsembleState:
        """The members' states, each of its own view."""
        pairs = zip(self.members, features.members, strict=True)
        return EnsembleState(tuple(member.start(view, sequences) for member, view in pairs))

    def step(self, tokens: Int[Tensor, "B Q"], state: EnsembleState) -> Step[EnsembleState]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        steps = [member.step(tokens, own) for member, own in zip(self.members, state.members, strict=True)]
        log_probs = steps[0].log_probs
        for step in steps[1:]:
            log_probs = torch.logaddexp(log_probs, step.log_probs)
        return Step(
            log_probs - math.log(len(steps)),
            EnsembleState(tuple(step.state for step in steps)),
            _mean_look([step.attention.weights for step in steps]),
        )


def _mean_look(looks: Sequence[Float[Tensor, "B Q _"]]) -> AttentionOutput:
    nothing = looks[0][..., :0]
    if any(look.shape != looks[0].shape for look in looks):
        return AttentionOutput(nothing, nothing)
    return AttentionOutput(nothing, torch.stack(list(looks)).mean(0))
