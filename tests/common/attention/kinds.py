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
    AoARefiner,
    Attention,
    AttentionMechanism,
    AttentionOnAttention,
    ChannelSpatial,
    DynamicMemory,
    EndToEndMemory,
    GeneralScore,
    GlimpseAttention,
    GumbelStraightThrough,
    Hard,
    KeyValueMemory,
    LocalMonotonic,
    LocalPredictive,
    MixedSources,
    MultiDimensional,
    MultiHead,
    SelfAttended,
    Sigmoid,
    SourceToToken,
    StackedAttention,
    StagedChannelSpatial,
    StructuredPooling,
    TransformerRefiner,
    TwoLevel,
)

QUERY, KEY = 3, 4  # widths; the values are the keys


@dataclass(frozen=True)
class Kind:
    """How to make a mechanism, and which invariants it is exempt from.

    exempt: of "sum" (weights sum to one), "parts sum" (those of each part do), "permutation" (of the regions), "single"
    (one valid region is the context), "uniform" (identical keys get equal weights), "close" (weights in low precision
    are close to those in double).
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
    # "single": the context is a linear or gated map of the regions, not the regions' own values
    "multi-head": Kind(lambda: MultiHead(QUERY, KEY, heads=2), frozenset({"single"})),
    "multi-head of three": Kind(lambda: MultiHead(QUERY, KEY, heads=3), frozenset({"single"})),
    "attention on attention": Kind(
        lambda: AttentionOnAttention(QUERY, KEY, MultiHead(QUERY, KEY, heads=2, join=False)), frozenset({"single"})
    ),
    "additive attention on attention": Kind(
        lambda: AttentionOnAttention(QUERY, KEY, Attention(AdditiveScore(QUERY, KEY, hidden_dim=5))),
        frozenset({"single"}),
    ),
    "transformer refined": Kind(
        lambda: SelfAttended(QUERY, KEY, MultiHead(QUERY, KEY, heads=2), TransformerRefiner(KEY, 2, heads=2)),
        frozenset({"single"}),
    ),
    "attention on attention refined": Kind(
        lambda: SelfAttended(
            QUERY, KEY, Attention(AdditiveScore(QUERY, KEY, hidden_dim=5)), AoARefiner(KEY, layers=1, heads=2)
        ),
        frozenset({"single"}),
    ),
    "attention on attention refined, as in the paper": Kind(
        lambda: SelfAttended(
            QUERY, KEY, MultiHead(QUERY, KEY, heads=2), AoARefiner(KEY, layers=2, heads=2, norm="after")
        ),
        frozenset({"single"}),
    ),
    "memory refined, with positions": Kind(  # equal regions at other places are no longer equal
        lambda: SelfAttended(
            QUERY,
            KEY,
            MultiHead(QUERY, KEY, heads=2),
            TransformerRefiner(KEY, 1, heads=2, norm="before", memory_slots=3),
            positions=True,
        ),
        frozenset({"single", "permutation", "uniform"}),
    ),
    "glimpses": Kind(lambda: GlimpseAttention(QUERY, KEY, hidden_dim=5), frozenset({"single"})),
    "structured": Kind(lambda: StructuredPooling(KEY, hidden_dim=5, glimpses=3), frozenset({"single"})),
    # "single": the context is the sum of several hops, of regions embedded anew
    "stacked": Kind(lambda: StackedAttention(QUERY, KEY, hidden_dim=5), frozenset({"single"})),
    "stacked of one hop": Kind(lambda: StackedAttention(QUERY, KEY, hops=1, hidden_dim=5)),
    "stacked as released": Kind(
        lambda: StackedAttention(QUERY, KEY, hops=3, hidden_dim=5, variant="code"), frozenset({"single"})
    ),
    "end-to-end memory": Kind(lambda: EndToEndMemory(QUERY, KEY, hops=2, positions=False), frozenset({"single"})),
    "end-to-end memory, layer-wise, with positions": Kind(  # equal regions at other places are no longer equal
        lambda: EndToEndMemory(QUERY, KEY, hops=2, tying="layer"), frozenset({"single", "permutation", "uniform"})
    ),
    "key-value memory": Kind(lambda: KeyValueMemory(QUERY, KEY), frozenset({"single"})),
    "key-value memory as released, found by both": Kind(  # by place too
        lambda: KeyValueMemory(QUERY, KEY, key="both", variant="code"), frozenset({"single", "permutation", "uniform"})
    ),
    # the regions are read in their order, and equal ones differ by what was read before
    "dynamic memory": Kind(
        lambda: DynamicMemory(QUERY, KEY, hops=2, hidden_dim=5), frozenset({"single", "permutation", "uniform"})
    ),
    "soft dynamic memory": Kind(
        lambda: DynamicMemory(QUERY, KEY, hops=2, hidden_dim=5, episode="soft"),
        frozenset({"single", "permutation", "uniform"}),
    ),
    "dynamic memory, with positions": Kind(
        lambda: DynamicMemory(QUERY, KEY, hops=2, hidden_dim=5, positions=True),
        frozenset({"single", "permutation", "uniform"}),
    ),
    "multi-dimensional": Kind(lambda: MultiDimensional(QUERY, KEY, hidden_dim=5)),
    "source2token": Kind(lambda: SourceToToken(KEY, hidden_dim=5)),
    # "single": the context is the region with its features weighed
    "channel-spatial": Kind(lambda: ChannelSpatial(QUERY, KEY, hidden_dim=5), frozenset({"single"})),
    "spatial-channel": Kind(
        lambda: ChannelSpatial(QUERY, KEY, hidden_dim=5, order="spatial-channel"), frozenset({"single"})
    ),
    "channel-spatial in two stages": Kind(
        lambda: StagedChannelSpatial(QUERY, KEY, [1, 3], hidden_dim=5), frozenset({"single"})
    ),
    "spatial-channel in two stages": Kind(
        lambda: StagedChannelSpatial(QUERY, KEY, [1, 3], hidden_dim=5, order="spatial-channel", rescale=False),
        frozenset({"single"}),
    ),
    # "single": the context is a mixture of the projected sources; "parts sum": theirs are shares of one look
    "sources mixed per position": Kind(
        lambda: MixedSources(QUERY, KEY, [1, 3], hidden_dim=5), frozenset({"single", "parts sum"})
    ),
    "sources mixed per query": Kind(
        lambda: MixedSources(QUERY, KEY, [1, 3], "query", source_dim=3, hidden_dim=5),
        frozenset({"single", "parts sum"}),
    ),
    "sources gated per query": Kind(  # gates do not compete: any sum is right, and equal regions get equal ones of it
        lambda: MixedSources(QUERY, KEY, [1, 3], "query", mixture=Sigmoid(), hidden_dim=5),
        frozenset({"single", "sum", "parts sum", "uniform"}),
    ),
    # "permutation": a region's patch is where it lies; "uniform": patches share alike, however many their cells
    "two-level, bottom-up": Kind(lambda: TwoLevel(QUERY, KEY, hidden_dim=5), frozenset({"permutation", "uniform"})),
    "two-level, top-down": Kind(
        lambda: TwoLevel(QUERY, KEY, order="top-down", hidden_dim=5), frozenset({"permutation", "uniform"})
    ),
}


def build_kind(name: str) -> AttentionMechanism[Any]:
    """The mechanism in float64 and evaluation mode, its parameters drawn anew but always the same."""
    torch.manual_seed(0)
    module = MECHANISMS[name].make().double().eval()
    for parameter in module.parameters():  # offsets start at zero, where a mistake about them would not show
        torch.nn.init.normal_(parameter, std=0.5)
    return module
