"""Random sequences of words: all pictures and all samples of each at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.data.vocabulary import END, PAD, START, UNKNOWN
from common.errors import ConfigError
from common.search.decoder import About, State, StepDecoder


@dataclass(frozen=True)
class Sampling:
    """How words are drawn.

    longest: sequences end after so many words at the latest.
    temperature: words are drawn from softmax(log-probabilities / temperature); below 1 likely words are preferred.
    top_k: only the so many likeliest words may be drawn (Fan et al. 2018); 0 leaves all.
    top_p: only the likeliest words that together have this probability may be drawn, after temperature and `top_k`
        (the nucleus of Holtzman et al. 2020); 1 leaves all.
    """

    longest: int = 20
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise ConfigError(f"sampling.longest must be at least 1, not {self.longest}")
        if not self.temperature > 0:
            raise ConfigError(
                f"sampling.temperature must be above 0, not {self.temperature}: for the likeliest words search greedily"
            )
        if self.top_k < 0:
            raise ConfigError(f"sampling.top_k must be at least 1, or 0 for all words, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"sampling.top_p must be above 0 and at most 1, not {self.top_p}")


class Samples(NamedTuple):
    """Q random sequences of each picture. T is the length of the longest with its end.

    tokens: the words without the start, then END, then PAD.
    keep: True for the words and their END.
    log_probs: of each of these, as the model itself says (before temperature and cuts); 0 for padding.
    """

    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    log_probs: Float[Tensor, "B Q T"]


@torch.no_grad()
def sample(decoder: StepDecoder[About, State], features: About, samples: int, sampling: Sampling) -> Samples:
    """`samples` random sequences of each picture, without gradient, in the mode that the decoder is in.

    Sequences that have not ended after `sampling.longest` words are ended there. Padding, start and unknown word are
    never drawn.
    """
    state = decoder.start(features, samples)
    tokens = torch.full((features.keep.shape[0], samples), START, device=features.keep.device)
    going = torch.ones_like(tokens, dtype=torch.bool)
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    for position in range(sampling.longest + 1):
        step = decoder.step(tokens, state)
        state, log_probs = step.state, step.log_probs.float()
        drawn = draw(log_probs, sampling) if position < sampling.longest else torch.full_like(tokens, END)
        tokens = drawn.where(going, torch.full_like(tokens, PAD))
        picked = log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        steps.append((tokens, going, picked.masked_fill(~going, 0.0)))
        going = going & (tokens != END)
        if not going.any():
            break
    return Samples(*(torch.stack(parts, 2) for parts in zip(*steps, strict=True)))


def draw(log_probs: Float[Tensor, "*B V"], sampling: Sampling) -> Int[Tensor, "*B"]:
    """One word from each distribution, tempered and cut."""
    logits = log_probs / sampling.temperature
    logits[..., [PAD, START, UNKNOWN]] = -torch.inf
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(-1)
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(descending=True)
        above = ordered.cumsum(-1) - ordered  # how likely all likelier words are together
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(above >= sampling.top_p, 0.0))
    # The smallest of exponential variables with rates p_i is the i-th with probability p_i / sum p.
    return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(-1)
