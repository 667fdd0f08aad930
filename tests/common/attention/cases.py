"""Inputs and parts that the attention tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from common.attention import (
    ActivatedGeneralScore,
    AdditiveScore,
    ConcatScore,
    CosineScore,
    DeepScore,
    Distribution,
    DotScore,
    Entmax15,
    FeatureScore,
    GatedScore,
    GeneralScore,
    ScaledDotScore,
    Score,
    Sigmoid,
    Softmax,
    Sparsemax,
)

WIDTH = 3  # of queries and keys
VALUE_WIDTH = 2

# LocationScore is left out: it knows positions and no keys, so that most of the invariants are not its own.
SCORES: dict[str, Callable[[], Score]] = {
    "dot": lambda: DotScore(WIDTH, WIDTH),
    "scaled dot": lambda: ScaledDotScore(WIDTH, WIDTH),
    "general": lambda: GeneralScore(WIDTH, WIDTH),
    "biased general": lambda: GeneralScore(WIDTH, WIDTH, bias=True),
    "activated general": lambda: ActivatedGeneralScore(WIDTH, WIDTH),
    "additive": lambda: AdditiveScore(WIDTH, WIDTH, hidden_dim=5),
    "concat": lambda: ConcatScore(WIDTH, WIDTH, hidden_dim=5),
    "deep": lambda: DeepScore(WIDTH, WIDTH, hidden_dim=5, layers=2),
    "gated": lambda: GatedScore(WIDTH, WIDTH, hidden_dim=5),
    "cosine": lambda: CosineScore(WIDTH, WIDTH, sharpness=2.0),
    "feature": lambda: FeatureScore(WIDTH, hidden_dim=5),
}
DISTRIBUTIONS: dict[str, Callable[[], Distribution]] = {
    "softmax": Softmax,
    "sparsemax": Sparsemax,
    "entmax15": Entmax15,
    "sigmoid": Sigmoid,
}

quick = settings(max_examples=5, deadline=None, derandomize=True)


def build_score(name: str) -> Score:
    """The score in float64, its parameters drawn anew but always the same."""
    torch.manual_seed(0)
    score = SCORES[name]().double()
    for parameter in score.parameters():  # offsets start at zero, where a mistake about them would not show
        torch.nn.init.normal_(parameter)
    return score


@dataclass
class Problem:
    """Queries [B Q WIDTH], keys [B N WIDTH], values [B N VALUE_WIDTH] and keep [B N], in float64."""

    query: Tensor
    keys: Tensor
    values: Tensor
    keep: Tensor


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any small sizes and any mask, fully masked rows among them."""
    batch, queries, keys = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    keep = draw(st.lists(st.lists(st.booleans(), min_size=keys, max_size=keys), min_size=batch, max_size=batch))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Problem(
        normal(batch, queries, WIDTH), normal(batch, keys, WIDTH), normal(batch, keys, VALUE_WIDTH), torch.tensor(keep)
    )
