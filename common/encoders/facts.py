"""Texts of several facts as memories: each fact becomes one vector, a slot of any mechanism of `memory.py`."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.errors import DataError


class Facts(NamedTuple):
    """One vector for each fact; `keep` is False, and the vector zero, where a fact has no words."""

    values: Float[Tensor, "B N D"]
    keep: Bool[Tensor, "B N"]


class FactEncoder(nn.Module):
    """Sentences as bags of words with position encoding (Sukhbaatar et al. 2015, section 4.1).

        x_k = sum_j l_kj E_k[token_j] + T_k(i),  l_kj = (1 - j / J) - (k / D) (1 - 2 j / J)

    for word j = 1..J and feature k = 1..D; i counts the facts from the last one back, as in the paper.

    Args:
        facts: the most facts that a text may have, for T; None leaves T, and with it the order of the facts, out.
        longest: the most words of a sentence; "code" alone asks for it.
        variant: "code" weighs with 1 + 4 (k - (D + 1) / 2) (j - (J + 1) / 2) / (D J), about twice as strong, J being
            `longest` for every sentence, plus one with T: as the released code does, it takes the time for a last
            word, so that T is weighed as well. Its empty memories were not masked; here they are in both.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        facts: int | None = None,
        longest: int | None = None,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        if variant == "code" and longest is None:
            raise ValueError("variant 'code' weighs a word by the longest sentence there can be: give `longest`")
        self.dim = dim
        self.embedding = nn.Embedding(vocabulary_size, dim, padding_idx=0)
        self.time = None if facts is None else nn.Embedding(facts, dim)
        self.words = longest if variant == "code" else None
        self.longest = None if self.words is None else self.words + (facts is not None)

    def forward(self, tokens: Int[Tensor, "B N J"], keep: Bool[Tensor, "B N J"]) -> Facts:
        """The facts [B N D] of a text.

        Raises:
            DataError: there are more facts than T has rows.
        """
        values, valid = self.sentence(tokens, keep), keep.any(-1)
        if self.time is not None:
            if tokens.shape[1] > self.time.num_embeddings:
                raise DataError(f"{tokens.shape[1]} facts, the encoder takes {self.time.num_embeddings}; raise `facts`")
            later = valid.flip(1).cumsum(1).flip(1) - 1  # valid facts after each, [B N]
            values = values + self._weigh_time(self.time(later.clamp(min=0)))
        return Facts(values.masked_fill(~valid.unsqueeze(-1), 0.0), valid)

    def sentence(self, tokens: Int[Tensor, "*B J"], keep: Bool[Tensor, "*B J"]) -> Float[Tensor, "*B D"]:
        """Sentences [*B D] without T, for the question too.

        Every weighting is a_j + s_k b_j, so that two sums over the words do without weights [*B J D].

        Raises:
            DataError: in variant "code", a sentence is longer than the longest.
        """
        if self.words is not None and tokens.shape[-1] > self.words:
            raise DataError(f"a sentence of {tokens.shape[-1]} words, the encoder takes {self.words}; raise `longest`")
        words = self.embedding(tokens)  # [*B J D]
        place = keep.cumsum(-1).to(words.dtype)  # j
        if self.longest is None:
            share = place / keep.sum(-1, keepdim=True).clamp(min=1)
            plain, sloped, slope = 1 - share, 1 - 2 * share, -self._features(words) / self.dim
        else:
            plain, sloped, slope = torch.ones_like(place), place - (self.longest + 1) / 2, self._slope(words)
        both = (torch.stack([plain, sloped], -2) * keep.unsqueeze(-2)) @ words  # [*B 2 D]
        return both[..., 0, :] + slope * both[..., 1, :]

    def _features(self, like: Tensor) -> Float[Tensor, " D"]:
        """k = 1..D."""
        return torch.arange(1, self.dim + 1, device=like.device, dtype=like.dtype)

    def _slope(self, like: Tensor) -> Float[Tensor, " D"]:
        """4 (k - (D + 1) / 2) / (D J)."""
        assert self.longest is not None
        return 4 * (self._features(like) - (self.dim + 1) / 2) / (self.dim * self.longest)

    def _weigh_time(self, time: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """T as it is, or as the last word of the longest sentence."""
        if self.longest is None:
            return time
        return time * (1 + self._slope(time) * (self.longest - 1) / 2)
