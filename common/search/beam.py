"""Beam search over all pictures and all beams at once; a beam of one is greedy search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.attention import AttentionOutput
from common.data.vocabulary import END, PAD, START, UNKNOWN
from common.errors import ConfigError
from common.search.decoder import About, State, StepDecoder


@dataclass(frozen=True)
class Search:
    """How captions are searched for.

    beam: how many captions of each picture are followed at once; 1 is greedy search.
    longest: captions end after so many words at the latest.
    length_power: captions are ranked by their log-probability over their length to this power; 0 takes the plain sum,
        which favours short captions, 1 the mean.
    """

    beam: int = 3
    longest: int = 20
    length_power: float = 0.0

    def __post_init__(self) -> None:
        for name in ("beam", "longest"):
            if getattr(self, name) < 1:
                raise ConfigError(f"search.{name} must be at least 1, not {getattr(self, name)}")


class Hypothesis(NamedTuple):
    """A caption found: its N word ids without the end, and of each word and the end their log-probability and weights.

    parts: the weights of each of the attention's parts; P = 0 where it has none.

    score: the sum of the log-probabilities over the length to the power of the search's `length_power`.
    """

    tokens: list[int]
    score: float
    token_log_probs: Float[Tensor, " N"]
    weights: Float[Tensor, "N R"]
    parts: Float[Tensor, "N P R"]


class _Trace(NamedTuple):
    """One step of all beams: which sequence each continues, with which word, how likely, looking where.

    looks: the weights of the attention, then those of each of its parts, where it has such.
    """

    parents: Int[Tensor, "B Q"]
    tokens: Int[Tensor, "B Q"]
    log_probs: Float[Tensor, "B Q"]
    looks: Float[Tensor, "B Q L R"]


@torch.no_grad()
def beam_search(decoder: StepDecoder[About, State], features: About, search: Search) -> list[list[Hypothesis]]:
    """The `search.beam` best captions of each picture, best first.

    A finished caption keeps its place in the beam; captions compete by the sum of their log-probabilities during the
    search and by `score` at its end. Captions that have not ended after `search.longest` words are ended there.
    Padding, start and unknown word are never written.
    """
    beam = search.beam
    state = decoder.start(features, beam)
    batch = features.keep.shape[0]
    tokens = torch.full((batch, beam), START, device=features.keep.device)
    total = torch.full((batch, beam), -torch.inf, device=tokens.device)
    total[:, 0] = 0  # at the start all beams are one
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    traces: list[_Trace] = []
    for position in range(search.longest + 1):
        step = decoder.step(tokens, state)
        log_probs = _allowed(step.log_probs, finished, last=position == search.longest)
        size = log_probs.shape[-1]
        total, index = (total.unsqueeze(-1) + log_probs).flatten(1).topk(beam)  # [B Q]
        parents, tokens = index // size, index % size
        picked = log_probs.flatten(1).gather(1, index)
        traces.append(_Trace(parents, tokens, picked, _looks(step.attention)))
        state = step.state.reorder(parents)
        finished = tokens == END
        if finished.all():
            break
    return _hypotheses(traces, total, search.length_power)


def _looks(attention: AttentionOutput) -> Float[Tensor, "B Q L R"]:
    whole = attention.weights.unsqueeze(2)
    return whole if attention.parts is None else torch.cat([whole, attention.parts], 2)


def _allowed(log_probs: Float[Tensor, "B Q V"], finished: Bool[Tensor, "B Q"], last: bool) -> Float[Tensor, "B Q V"]:
    """A finished sequence goes on with the end at no cost; the last step takes nothing but the end."""
    log_probs = log_probs.float().clone()
    log_probs[..., [PAD, START, UNKNOWN]] = -torch.inf
    if last:
        end = log_probs[..., END].clone()
        log_probs.fill_(-torch.inf)
        log_probs[..., END] = end
    log_probs[finished] = -torch.inf
    log_probs[..., END].masked_fill_(finished, 0.0)
    return log_probs


def _hypotheses(traces: list[_Trace], total: Float[Tensor, "B Q"], length_power: float) -> list[list[Hypothesis]]:
    """Follow each beam back to the start."""
    beams = torch.arange(total.shape[1], device=total.device).expand_as(total)
    steps = []
    for trace in reversed(traces):
        parents = trace.parents.gather(1, beams)
        looks = trace.looks.gather(1, parents[..., None, None].expand(-1, -1, *trace.looks.shape[2:]))
        steps.append((trace.tokens.gather(1, beams), trace.log_probs.gather(1, beams), looks))
        beams = parents
    tokens, log_probs, looks = (torch.stack(parts[::-1], 2).cpu() for parts in zip(*steps, strict=True))
    lengths = (tokens != END).sum(-1)  # [B Q] without the end
    scores = total.cpu() / (lengths + 1.0) ** length_power
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
    return [
        [
            Hypothesis(
                tokens[image, q, : lengths[image, q]].tolist(),
                scores[image, q].item(),
                log_probs[image, q, : lengths[image, q] + 1],
                looks[image, q, : lengths[image, q] + 1, 0],
                looks[image, q, : lengths[image, q] + 1, 1:],
            )
            for q in order[image].tolist()
            if scores[image, q] != -torch.inf  # NaN, of a model that has diverged, is still a caption
        ]
        for image in range(len(tokens))
    ]
