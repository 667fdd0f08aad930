"""Every attention mechanism in a small size, for the invariants that hold for all of them.

Who adds a mechanism adds it here; `exempt` names the invariants that are not its own, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from common.attention import (
    AdditiveScore,
    Attention,
    AttentionMechanism,
    GeneralScore,
    GumbelStraightThrough,
    Hard,
    LocalMonotonic,
    LocalPredictive,
)

QUERY, KEY = 3, 4  # widths; the values are the keys


@dataclass(frozen=True)
class Kind:
    """How to make a mechanism, and which invariants it is exempt from.

    exempt: of "sum" (weights sum to one), "permutation" (of the regions), "single" (one valid region is the context),
    "uniform" (identical keys get equal weights), "close" (weights in low precision are close to those in double).
    """

    make: Callable[[], AttentionMechanism[Any]]
    exempt: frozenset[str] = frozenset()


MECHANISMS: dict[str, Kind] = {
    "soft": Kind(lambda: Attention(AdditiveScore(QUERY, KEY, hidden_dim=5))),
    "hard": Kind(lambda: Attention(GeneralScore(QUERY, KEY), position=Hard()), frozenset({"close"})),  # ties may turn
    "straight through": Kind(  # ties may turn
        lambda: Attention(GeneralScore(QUERY, KEY), position=GumbelStraightThrough()), frozenset({"close"})
    ),
    # windows lie at places, and may hold none of the valid regions
    "local monotonic": Kind(
        lambda: Attention(GeneralScore(QUERY, KEY), position=LocalMonotonic(window=1)),
        frozenset({"sum", "permutation", "uniform"}),
    ),
    "local predictive": Kind(  # the Gaussian takes from the sum; the floor of the place may turn
        lambda: Attention(GeneralScore(QUERY, KEY), position=LocalPredictive(QUERY, hidden_dim=5, window=1)),
        frozenset({"sum", "permutation", "single", "uniform", "close"}),
    ),
}


def build_kind(name: str) -> AttentionMechanism[Any]:
    """The mechanism in float64 and evaluation mode, its parameters drawn anew but always the same."""
    torch.manual_seed(0)
    module = MECHANISMS[name].make().double().eval()
    for parameter in module.parameters():  # offsets start at zero, where a mistake about them would not show
        torch.nn.init.normal_(parameter, std=0.5)
    return module
