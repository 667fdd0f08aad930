"""Every co-attention in a small size, for the invariants that hold for all of them.

Who adds a co-attention adds it here; `exempt` names the invariants that are not its own, with the reason beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from common.attention import (
    AdditiveScore,
    AlternatingCoAttention,
    Attention,
    AttentionMechanism,
    BilinearCoAttention,
    CoAttention,
    CoAttentionOutput,
    GroundedWords,
    GuidedCoAttention,
    ParallelCoAttention,
    QuestionGuided,
)

DIM, HIDDEN = 4, 3
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # words [B Q T D] and their mask, regions [B R D] and their mask


@dataclass(frozen=True)
class CoKind:
    """How to make a co-attention with some dropout, and which invariants it is exempt from.

    exempt: of "padding" (what padding holds changes nothing), "single" (a single word and a single region are the
    summaries), "apart" (each side's weights sum to one even where the other has nothing valid), "words look" (without
    words nothing is looked at), "dropout" (of its own).
    """

    make: Callable[[float], CoAttention]
    exempt: frozenset[str] = frozenset()


def _soft() -> AttentionMechanism[Any]:
    return Attention(AdditiveScore(DIM, DIM, HIDDEN))


# A pair of nothing valid is no pair (one distribution over all pairs), and the words' sum is no mean.
PAIRS = frozenset({"apart", "single"})
MAPPED = frozenset({"single"})  # the summaries have passed through layers
PLAIN = frozenset({"dropout"})

CO_ATTENTIONS: dict[str, CoKind] = {
    "parallel": CoKind(lambda dropout: ParallelCoAttention(DIM, HIDDEN, dropout)),
    # without the mask on the affinity, padding is seen by the other side
    "parallel, as in the code": CoKind(
        lambda dropout: ParallelCoAttention(DIM, HIDDEN, dropout, variant="code", mask_affinity=False),
        frozenset({"padding"}),
    ),
    "alternating": CoKind(lambda dropout: AlternatingCoAttention(DIM, HIDDEN, dropout)),
    "alternating, as in the code": CoKind(lambda dropout: AlternatingCoAttention(DIM, HIDDEN, dropout, variant="code")),
    "question guided": CoKind(lambda _: QuestionGuided(DIM, _soft()), PLAIN),
    "question guided, pooled": CoKind(lambda _: QuestionGuided(DIM, _soft(), pooling=_soft()), PLAIN),
    "bilinear": CoKind(lambda dropout: BilinearCoAttention(DIM, 3, HIDDEN, dropout=dropout), PAIRS),
    "bilinear, one glimpse": CoKind(
        lambda dropout: BilinearCoAttention(DIM, 1, HIDDEN, map_dim=5, map_dropout=dropout), PAIRS
    ),
    # the words look: without words nothing is looked at
    "grounded words": CoKind(lambda dropout: GroundedWords(DIM, 2, 2, dropout), MAPPED | {"words look"}),
    "guided": CoKind(lambda dropout: GuidedCoAttention(DIM, 2, 2, glimpses=2, dropout=dropout), MAPPED),
    "guided, stacking, as in the code": CoKind(
        lambda dropout: GuidedCoAttention(DIM, 2, 2, "stacking", dropout=dropout, variant="code"), MAPPED
    ),
}


def build_co_kind(name: str, dropout: float = 0.0) -> CoAttention:
    """The co-attention in float64 and evaluation mode, its parameters drawn anew but always the same."""
    torch.manual_seed(0)
    module = CO_ATTENTIONS[name].make(dropout).double().eval()
    for parameter in module.parameters():  # offsets start at zero, where a mistake about them would not show
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64, always the same for a seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def inputs(draw_: st.DrawFn) -> Inputs:
    """Words of several texts, their mask, regions, their mask: more words than regions or fewer, any mask."""
    batch, texts, words, regions = (draw_(st.integers(1, most)) for most in (3, 2, 5, 5))
    seed = draw_(st.integers(0, 2**31))

    def mask(*shape: int) -> Tensor:
        size = math.prod(shape)
        return torch.tensor(draw_(st.lists(st.booleans(), min_size=size, max_size=size))).view(shape)

    return (
        draw(batch, texts, words, DIM, seed=seed),
        mask(batch, texts, words),
        draw(batch, regions, DIM, seed=seed + 1),
        mask(batch, regions),
    )


def assert_same(got: CoAttentionOutput, expected: CoAttentionOutput) -> None:
    """All results are equal, the parts too where there are any."""
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
