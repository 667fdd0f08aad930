"""Beam search over all pictures and all beams at once; a beam of one is greedy search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from common.attention.steps import many_looks
from common.data.vocabulary import END, START, Vocabulary
from common.products import fast_products
from common.search.constraints import Required, constraints, dead_end
from common.search.decoder import About, State, StepDecoder, pick
from common.search.hypotheses import Hypothesis, Look, Written, hypotheses
from common.search.selection import Candidates, choose, continuations
from common.search.settings import Search

_WASTE = 0.25  # pictures that are done are left out when they are this part of all


class Beams(NamedTuple):
    """All sequences that are followed, after T words; at first one of each picture.

    pictures: which of the batch are still here. total: of the log-probabilities. finished: True from the end on.
    slots: which of the decoder's sequences each word was written by. looks: of the decoder, before each word.
    """

    pictures: Int[Tensor, " B"]
    tokens: Int[Tensor, "B Q T"]
    log_probs: Float[Tensor, "B Q T"]
    slots: Int[Tensor, "B Q T"]
    total: Float[Tensor, "B Q"]
    finished: Bool[Tensor, "B Q"]
    looks: list[Look]

    @classmethod
    def start(cls, batch: int, device: torch.device) -> Beams:
        """Before the first word."""
        nothing = torch.zeros(batch, 1, 0, dtype=torch.int64, device=device)
        total = torch.zeros(batch, 1, device=device)
        return cls(torch.arange(batch, device=device), nothing, nothing.float(), nothing, total, total > 0, [])

    def extend(self, chosen: Candidates, look: Look) -> Beams:
        """One word further."""
        index = chosen.parents.unsqueeze(-1).expand(-1, -1, self.tokens.shape[-1])
        tokens, log_probs, slots = (
            torch.cat([past.gather(1, index), new.unsqueeze(-1)], -1)
            for past, new in (
                (self.tokens, chosen.words),
                (self.log_probs.to(chosen.log_probs.dtype), chosen.log_probs),
                (self.slots, chosen.parents),
            )
        )
        total = self.total.gather(1, chosen.parents) + chosen.log_probs
        return Beams(self.pictures, tokens, log_probs, slots, total, chosen.words == END, [*self.looks, look])

    def pick(self, pictures: Bool[Tensor, " B"]) -> Beams:
        """Those of some pictures."""
        return Beams(*pick(tuple(self), pictures.nonzero().squeeze(1), len(pictures)))

    def score(self, length_power: float) -> Float[Tensor, "B Q"]:
        """What finished sequences are ranked by; minus infinity for others."""
        lengths = (self.tokens != END).sum(-1) + 1.0
        return (self.total / lengths**length_power).masked_fill(~self.finished, -torch.inf)

    def settle(self, search: Search) -> tuple[Beams, Bool[Tensor, " B"]]:
        """Give up sequences that can no longer be among the best; True for the pictures in which all are finished.

        A sequence that is not finished can at most keep its total, at the greatest length.
        """
        least = self.score(search.length_power).topk(_kept(search)).values[:, -1:]
        hope = self.total / (search.longest + 1.0) ** search.length_power
        settled = (self.finished | (hope <= least)).all(1)
        given_up = settled.unsqueeze(1) & ~self.finished
        return self._replace(
            total=self.total.masked_fill(given_up, -torch.inf), finished=self.finished | given_up
        ), settled


@torch.no_grad()
@fast_products()
def beam_search(
    decoder: StepDecoder[About, State], features: About, search: Search, vocabulary: Vocabulary | None = None
) -> list[list[Hypothesis]]:
    """The `search.best` captions of each picture, best first.

    A finished caption keeps its place in the beam; captions compete by the sum of their log-probabilities during the
    search and by `score` at its end. Captions that have not ended after `search.longest` words are ended there.
    Padding, start and unknown word are never written. A picture is done when no caption that goes on can be among its
    best, and costs nothing from then on.

    Args:
        vocabulary: of the decoder; needed where the search names words.

    Raises:
        ConfigError: a word is not in the vocabulary, or no caption meets what is asked of it.
    """
    device = features.keep.device
    masks, required = constraints(search, vocabulary, device)
    beams = Beams.start(len(features.keep), device)
    with many_looks():
        state = decoder.start(features)
    found: dict[int, list[Hypothesis]] = {}
    tokens = torch.full_like(beams.finished, START, dtype=torch.int64)
    for _ in range(search.longest + 1):
        step = decoder.step(tokens, state)
        log_probs = step.log_probs
        for mask in masks:
            mask(log_probs, beams.tokens)
        chosen = _choose(beams, log_probs, search, required)
        beams, settled = beams.extend(chosen, Look.of(step.attention)).settle(search)
        done = int(settled.sum())
        if done == len(settled):
            break
        state = step.state.reorder(chosen.parents)
        if done >= _WASTE * len(settled):
            found |= _found(beams.pick(settled), search)
            state = pick(state, (~settled).nonzero().squeeze(1), len(settled))
            beams = beams.pick(~settled)
        tokens = beams.tokens[..., -1]
    found |= _found(beams, search)
    if not all(found.values()):
        raise dead_end(search)
    return [found[picture] for picture in range(len(found))]


def _choose(beams: Beams, log_probs: Float[Tensor, "B S V"], search: Search, required: Required | None) -> Candidates:
    """The Q words that go on, group by group; earlier groups make their words less welcome."""
    groups = search.diversity.groups
    number = search.beam // groups
    unmet = required.unmet(beams.tokens) if required else None
    chosen: list[Candidates] = []
    for group in range(groups):
        first = group * number if beams.looks else 0  # at first there is one sequence for all
        own = slice(first, first + number)
        welcome = log_probs[:, own]
        if search.diversity.strength and chosen:
            welcome = welcome - search.diversity.strength * _written(chosen, beams.finished, welcome)
        candidates = continuations(welcome, beams.finished[:, own], number, required.words if required else None)
        best = choose(candidates, beams.total[:, own], number, required, unmet[:, own] if unmet is not None else None)
        best = best._replace(parents=best.parents + first)
        if search.diversity.strength:
            best = best._replace(log_probs=_own(best, log_probs, beams.finished))
        chosen.append(_fill(best, number))
    return Candidates(*(torch.cat(parts, 1) for parts in zip(*chosen, strict=True)))


def _written(chosen: Sequence[Candidates], finished: Bool[Tensor, "B S"], like: Float[Tensor, "B Q V"]) -> Tensor:
    """How often [B 1 V] each word was chosen, not counting the ends of captions that had ended before."""
    words, parents = (torch.cat([getattr(each, name) for each in chosen], 1) for name in ("words", "parents"))
    goes_on = (~finished.gather(1, parents)).to(like.dtype)
    return like.new_zeros(len(like), like.shape[-1]).scatter_add_(1, words, goes_on).unsqueeze(1)


def _own(best: Candidates, log_probs: Float[Tensor, "B S V"], finished: Bool[Tensor, "B S"]) -> Float[Tensor, "B K"]:
    """The log-probabilities of the words themselves, whatever they were worth to their group."""
    pictures = torch.arange(len(log_probs), device=log_probs.device).unsqueeze(1)
    own = log_probs[pictures, best.parents, best.words].masked_fill(finished.gather(1, best.parents), 0.0)
    return torch.where(best.log_probs == -torch.inf, best.log_probs, own)


def _fill(chosen: Candidates, number: int) -> Candidates:
    """With impossible ones where there are fewer than `number`."""
    missing = number - chosen.words.shape[1]
    if not missing:
        return chosen
    return Candidates(
        pad(chosen.parents, (0, missing)),
        pad(chosen.words, (0, missing), value=END),
        pad(chosen.log_probs, (0, missing), value=-torch.inf),
    )


def _found(beams: Beams, search: Search) -> dict[int, list[Hypothesis]]:
    """The best of each picture, by its place in the batch."""
    written = Written(beams.tokens, beams.log_probs, beams.slots, beams.score(search.length_power))
    best = hypotheses(written, beams.looks, _kept(search))
    if search.diversity.groups > 1:
        best = [list({tuple(each.tokens): each for each in reversed(of_one)}.values())[::-1] for of_one in best]
    return {picture: each[: search.best] for picture, each in zip(beams.pictures.tolist(), best, strict=True)}


def _kept(search: Search) -> int:
    """How many captions are to be certain: of groups, which may write the same caption, all."""
    return search.best if search.diversity.groups == 1 else search.beam
