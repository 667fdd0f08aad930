"""Which words go on: the best continuations of all sequences of a picture, for all pictures at once.

Shapes: B pictures, Q sequences of each, V words in the vocabulary, K continuations wanted, N candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.data.vocabulary import END
from common.search.constraints import Required

_CHUNK = 64  # words whose maximum is looked at first


class Candidates(NamedTuple):
    """Continuations: of which sequence, with which word, how likely that word is."""

    parents: Int[Tensor, "B N"]
    words: Int[Tensor, "B N"]
    log_probs: Float[Tensor, "B N"]

    def take(self, index: Int[Tensor, "B K"]) -> Candidates:
        """Those at `index`."""
        return Candidates(*(each.gather(1, index) for each in self))


def likeliest(log_probs: Float[Tensor, "B Q V"], number: int) -> tuple[Float[Tensor, "B Q K"], Int[Tensor, "B Q K"]]:
    """`topk` over the words, or all where there are fewer.

    The greatest `number` words lie in the `number` chunks with the greatest maxima: only these are searched through.
    """
    size = log_probs.shape[-1]
    chunks = size // _CHUNK
    if number * 4 > chunks:
        return tuple(log_probs.topk(min(number, size)))  # type: ignore[return-value]
    chunked = log_probs[..., : chunks * _CHUNK].unflatten(-1, (chunks, _CHUNK))
    which = chunked.amax(-1).topk(number).indices.unsqueeze(-1)  # [B Q K 1]
    within = torch.arange(_CHUNK, device=which.device)
    words = (which * _CHUNK + within).flatten(2)
    rest = torch.arange(chunks * _CHUNK, size, device=which.device).expand(*words.shape[:2], -1)
    words = torch.cat([words, rest], -1)
    values, index = log_probs.gather(-1, words).topk(number)
    return values, words.gather(-1, index)


def continuations(
    log_probs: Float[Tensor, "B Q V"], finished: Bool[Tensor, "B Q"], number: int, also: Int[Tensor, " W"] | None = None
) -> Candidates:
    """The `number` likeliest continuations of each sequence, and those with the words `also` in any case.

    A finished sequence has one: the end again, at no cost.
    """
    values, words = likeliest(log_probs if also is None else log_probs.index_fill(-1, also, -torch.inf), number)
    if also is not None:
        words = torch.cat([words, also.expand(*words.shape[:2], -1)], -1)
        values = torch.cat([values, log_probs[..., also]], -1)
    alone = torch.full_like(values, -torch.inf)
    alone[..., 0] = 0
    values = torch.where(finished.unsqueeze(-1), alone, values)
    words = words.masked_fill(finished.unsqueeze(-1), END)
    parents = torch.arange(words.shape[1], device=words.device).view(1, -1, 1).expand_as(words)
    return Candidates(parents.flatten(1), words.flatten(1), values.flatten(1))


def in_banks(scores: Float[Tensor, "B N"], met: Int[Tensor, "B N"], banks: int, number: int) -> Int[Tensor, "B K"]:
    """The best of each bank in turn, so that all banks get the same share or what they can use of it.

    That is the dynamic beam allocation of Post and Vilar (2018), a bank for each number of required entries met.
    """
    order = scores.sort(dim=-1, descending=True, stable=True).indices
    bank = met.gather(1, order)
    rank = torch.nn.functional.one_hot(bank, banks).cumsum(1).gather(-1, bank.unsqueeze(-1)).squeeze(-1)  # [B N]
    turn = rank * banks - bank  # within a round, those that have met most come first
    turn = turn.masked_fill(scores.gather(1, order) == -torch.inf, torch.iinfo(turn.dtype).max)
    return order.gather(1, turn.topk(number, largest=False).indices)


def choose(
    candidates: Candidates,
    total: Float[Tensor, "B Q"],
    number: int,
    required: Required | None = None,
    unmet: Bool[Tensor, "B Q C"] | None = None,
) -> Candidates:
    """The K = `number` best, in banks where words are required; fewer where there are fewer."""
    scores = total.gather(1, candidates.parents) + candidates.log_probs
    number = min(number, scores.shape[1])
    if required is None or unmet is None:
        return candidates.take(scores.topk(number).indices)
    wanting = unmet.gather(1, candidates.parents.unsqueeze(-1).expand(-1, -1, required.entries))  # [B N C]
    writes = (candidates.words.unsqueeze(-1) == required.words) & wanting[..., required.entry]  # [B N W]
    met = required.entries - wanting.sum(-1) + writes.any(-1).long()
    return candidates.take(in_banks(scores, met, required.entries + 1, number))
