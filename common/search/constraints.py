"""What may be written next: each constraint takes words out of the log-probabilities, in place.

Shapes: B pictures, Q sequences of each, T words written so far, V words in the vocabulary, C required entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.data.vocabulary import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary
from common.errors import ConfigError
from common.search.settings import Sampling, Search

NEVER_WRITTEN = (PAD, START, UNKNOWN)


@runtime_checkable
class Constraint(Protocol):
    """Takes out words that may not come next."""

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """Set the log-probabilities of such words to minus infinity. `written` is without the start."""
        ...


@dataclass(frozen=True)
class Never:
    """Words that are not written."""

    words: tuple[int, ...]

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """See `Constraint`."""
        log_probs[..., list(self.words)] = -torch.inf


@dataclass(frozen=True)
class Shortest:
    """No end before so many words."""

    words: int

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """See `Constraint`."""
        if written.shape[-1] < self.words:
            log_probs[..., END] = -torch.inf


@dataclass(frozen=True)
class Longest:
    """Nothing but the end after so many words."""

    words: int

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """See `Constraint`."""
        if written.shape[-1] >= self.words:
            end = log_probs[..., END].clone()
            log_probs.fill_(-torch.inf)
            log_probs[..., END] = end


@dataclass(frozen=True)
class NoRepeat:
    """No `size` words in an order in which they stand already."""

    size: int

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """See `Constraint`."""
        if written.shape[-1] < self.size:
            return
        *_, length = written.shape
        *before, last = written.unfold(2, self.size, 1).unbind(-1)  # each [B Q T-size+1]
        again = torch.ones_like(last, dtype=torch.bool)
        for offset, words in enumerate(before):
            again &= words == written[..., length - self.size + 1 + offset, None]
        log_probs.scatter_add_(-1, last, torch.zeros_like(last, dtype=log_probs.dtype).masked_fill(again, -torch.inf))


class Required:
    """No end before one word of each of C entries is written, and room kept for them.

    words: the W words of all entries; no word stands in two. entry: the entry of each.
    """

    def __init__(self, entries: Sequence[Sequence[int]], longest: int, device: torch.device | str = "cpu") -> None:
        pairs = [(word, index) for index, words in enumerate(entries) for word in dict.fromkeys(words)]
        self.words: Int[Tensor, " W"] = torch.tensor([word for word, _ in pairs], device=device)
        self.entry: Int[Tensor, " W"] = torch.tensor([index for _, index in pairs], device=device)
        self.entries = len(entries)
        self.longest = longest

    def unmet(self, written: Int[Tensor, "B Q T"]) -> Bool[Tensor, "B Q C"]:
        """Whether each entry is still to be written."""
        there = (written.unsqueeze(-1) == self.words).any(2)  # [B Q W]
        met = torch.zeros(*written.shape[:2], self.entries, dtype=torch.int64, device=written.device)
        return met.scatter_add(-1, self.entry.expand_as(there), there.long()) == 0

    def __call__(self, log_probs: Float[Tensor, "B Q V"], written: Int[Tensor, "B Q T"]) -> None:
        """See `Constraint`."""
        unmet = self.unmet(written)
        wanting = unmet.sum(-1)
        log_probs[..., END].masked_fill_(wanting > 0, -torch.inf)
        tight = (wanting > 0) & (wanting >= self.longest - written.shape[-1])
        if tight.any():
            wanted = log_probs[..., self.words].masked_fill(~unmet[..., self.entry], -torch.inf)
            log_probs.masked_fill_(tight.unsqueeze(-1), -torch.inf)
            rest = log_probs[..., self.words]
            log_probs[..., self.words] = torch.where(tight.unsqueeze(-1), wanted, rest)


def constraints(
    settings: Search | Sampling, vocabulary: Vocabulary | None, device: torch.device | str
) -> tuple[list[Constraint], Required | None]:
    """All that the settings ask for, and of these what must be written.

    Args:
        vocabulary: of the decoder; needed where the settings name words.

    Raises:
        ConfigError: a word is not in the vocabulary.
    """
    forbidden, required = encode(settings, vocabulary)
    found: list[Constraint] = [Never((*NEVER_WRITTEN, *forbidden))]
    if settings.words.no_repeat:
        found.append(NoRepeat(settings.words.no_repeat))
    if settings.shortest:
        found.append(Shortest(settings.shortest))
    must = Required(required, settings.longest, device) if required else None
    return [*found, *([must] if must else []), Longest(settings.longest)], must


def encode(settings: Search | Sampling, vocabulary: Vocabulary | None) -> tuple[list[int], list[list[int]]]:
    """The ids of the forbidden words, and those of each required entry.

    Raises:
        ConfigError: one is not in the vocabulary.
    """
    forbidden, required = settings.words.forbidden_words(), settings.words.required_words()
    if not forbidden and not required:
        return [], []
    if vocabulary is None:
        raise ValueError("words are forbidden or required, and no vocabulary is given that knows them")
    for name, words in (("required", chain.from_iterable(required)), ("forbidden", forbidden)):
        for word in words:
            if word not in vocabulary:
                raise ConfigError(f"the {name} word {word!r} is none of the {len(vocabulary) - len(SPECIALS)} words")
    return vocabulary.encode(forbidden), [vocabulary.encode(words) for words in required]


def dead_end(settings: Search | Sampling) -> ConfigError:
    """What is raised when nothing may come next."""
    return ConfigError(
        f"no caption of {settings.shortest} to {settings.longest} words meets what is asked of its words: "
        f"ask for less (no_repeat {settings.words.no_repeat}, required {list(settings.words.required)})"
    )
