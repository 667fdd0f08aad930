"""What a search has found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from common.attention import AttentionOutput
from common.data.vocabulary import END


class Hypothesis(NamedTuple):
    """A caption found: its N - 1 word ids without the end, and of each and the end its log-probability and weights.

    score: the sum of the log-probabilities over N to the power of the search's `length_power`.
    parts: the weights of each of the attention's parts; P = 0 where it has none.
    """

    tokens: list[int]
    score: float
    token_log_probs: Float[Tensor, " N"]
    weights: Float[Tensor, "N R"]
    parts: Float[Tensor, "N P R"]


class Look(NamedTuple):
    """Where S sequences of each picture looked before a word."""

    weights: Float[Tensor, "B S R"]
    parts: Float[Tensor, "B S P R"] | None

    @classmethod
    def of(cls, attention: AttentionOutput) -> Look:
        """What is kept of a step."""
        return cls(attention.weights, attention.parts)


class Written(NamedTuple):
    """Sequences of T words of each of B pictures, ended by END and then anything.

    slots: which of the decoder's sequences each word was written by. score: what ranks them.
    """

    tokens: Int[Tensor, "B Q T"]
    log_probs: Float[Tensor, "B Q T"]
    slots: Int[Tensor, "B Q T"]
    score: Float[Tensor, "B Q"]


def hypotheses(written: Written, looks: Sequence[Look], best: int) -> list[list[Hypothesis]]:
    """The `best` sequences of each picture, those of score minus infinity left out, best first.

    looks: of all the decoder's sequences before each of the T words.
    """
    order = torch.sort(written.score, dim=-1, descending=True, stable=True).indices[:, :best]  # [B Q]
    index = order.unsqueeze(-1).expand(-1, -1, written.tokens.shape[-1])
    tokens, log_probs, slots = (each.gather(1, index) for each in written[:3])
    weights = _gather([look.weights for look in looks], slots)
    parts = weights.new_zeros(*weights.shape[:3], 0, weights.shape[-1])
    if looks[0].parts is not None:
        parts = _gather([look.parts for look in looks if look.parts is not None], slots)
    scores = written.score.gather(1, order).tolist()
    ended = (tokens == END).int().argmax(-1).tolist()
    tokens, log_probs, weights, parts = (each.cpu() for each in (tokens, log_probs, weights, parts))
    words = tokens.tolist()
    return [
        [
            Hypothesis(words[b][q][:end], score, *(each[b, q, : end + 1] for each in (log_probs, weights, parts)))
            for q, (score, end) in enumerate(zip(scores[b], ended[b], strict=True))
            if score != -torch.inf  # NaN, of a model that has diverged, is still a caption
        ]
        for b in range(len(words))
    ]


def _gather(steps: Sequence[Float[Tensor, "B _ *R"]], slots: Int[Tensor, "B Q T"]) -> Float[Tensor, "B Q T *R"]:
    """Of each step what belongs to the slots of its words."""
    pictures = torch.arange(len(slots), device=slots.device).unsqueeze(1)
    return torch.stack([step[pictures, slots[..., position]] for position, step in enumerate(steps)], 2)
