"""Random sequences of words: all pictures and all samples of each at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.attention.steps import many_looks
from common.data.vocabulary import END, PAD, START, Vocabulary
from common.products import fast_products
from common.search.constraints import constraints, dead_end
from common.search.decoder import About, State, StepDecoder
from common.search.hypotheses import Hypothesis, Look, Written, hypotheses
from common.search.settings import Draws, Sampling


class Samples(NamedTuple):
    """Q random sequences of each picture. T is the length of the longest with its end.

    tokens: the words without the start, then END, then PAD.
    keep: True for the words and their END.
    log_probs: of each of these, as the model itself says (before temperature and cuts); 0 for padding.
    """

    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    log_probs: Float[Tensor, "B Q T"]


class _Drawn(NamedTuple):
    """One word of all sequences; going: False where the sequence has ended before."""

    tokens: Int[Tensor, "B Q"]
    going: Bool[Tensor, "B Q"]
    log_probs: Float[Tensor, "B Q"]
    look: Look


@torch.no_grad()
@fast_products()
def sample(
    decoder: StepDecoder[About, State],
    features: About,
    samples: int,
    sampling: Sampling,
    vocabulary: Vocabulary | None = None,
) -> Samples:
    """`samples` random sequences of each picture, without gradient, in the mode that the decoder is in.

    Sequences that have not ended after `sampling.longest` words are ended there. Padding, start and unknown word are
    never drawn.

    Args:
        vocabulary: of the decoder; needed where the settings name words.

    Raises:
        ConfigError: a word is not in the vocabulary, or nothing is left that could be drawn.
    """
    steps = [step[:3] for step in _draws(decoder, features, samples, sampling, vocabulary)]
    return Samples(*(torch.stack(parts, 2) for parts in zip(*steps, strict=True)))


@torch.no_grad()
@fast_products()
def random_hypotheses(
    decoder: StepDecoder[About, State], features: About, draws: Draws, vocabulary: Vocabulary | None = None
) -> list[list[Hypothesis]]:
    """The same with all that is told of captions that were searched for, the likeliest first."""
    steps = list(_draws(decoder, features, draws.samples, draws.sampling, vocabulary))
    tokens, log_probs = (torch.stack([getattr(step, name) for step in steps], 2) for name in ("tokens", "log_probs"))
    slots = torch.arange(draws.samples, device=tokens.device).view(1, -1, 1).expand_as(tokens)
    written = Written(tokens, log_probs, slots, log_probs.sum(-1))
    return hypotheses(written, [step.look for step in steps], draws.samples)


def _draws(
    decoder: StepDecoder[About, State],
    features: About,
    samples: int,
    sampling: Sampling,
    vocabulary: Vocabulary | None,
) -> Iterator[_Drawn]:
    """Word by word until all sequences have ended."""
    masks, _ = constraints(sampling, vocabulary, features.keep.device)
    with many_looks():
        state = decoder.start(features, samples)
    tokens = torch.full((len(features.keep), samples), START, device=features.keep.device)
    going = torch.ones_like(tokens, dtype=torch.bool)
    written: Int[Tensor, "B Q T"] = tokens.unsqueeze(-1)[..., :0]
    for position in range(sampling.longest + 1):
        step = decoder.step(tokens, state)
        state, log_probs = step.state, step.log_probs
        logits = log_probs / sampling.temperature
        for mask in masks:
            mask(logits, written)
        if ((logits == -torch.inf).all(-1) & going).any():
            raise dead_end(sampling)
        drawn = draw(logits, sampling) if position < sampling.longest else torch.full_like(tokens, END)
        tokens = drawn.masked_fill(~going, PAD)
        picked = log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).masked_fill(~going, 0.0)
        yield _Drawn(tokens, going, picked, Look.of(step.attention))
        written = torch.cat([written, tokens.unsqueeze(-1)], -1)
        going = going & (tokens != END)
        if not going.any():
            break


def draw(logits: Float[Tensor, "*B V"], sampling: Sampling) -> Int[Tensor, "*B"]:
    """One word from each distribution, cut; what has minus infinity is never drawn."""
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(-1)
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(descending=True)
        above = ordered.cumsum(-1) - ordered  # how likely all likelier words are together
        probabilities = probabilities.scatter(-1, index, ordered.masked_fill(above >= sampling.top_p, 0.0))
    # Where a random part of the whole probability is used up, word by word.
    used = probabilities.cumsum(-1, dtype=torch.float64)
    point = used[..., -1:] * torch.rand_like(used[..., -1:])
    return torch.searchsorted(used, point, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
