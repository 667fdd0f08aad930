"""Deep modular co-attention (Yu et al. 2019) for one question, in loops over layers, heads, queries and keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked, softmax

Mask = NDArray[np.bool_]


def linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def layer_norm(p: Parameters, name: str, x: Array, variant: str) -> Array:
    spread = np.sqrt(x.var() + 1e-5) if variant == "paper" else x.std(ddof=1) + 1e-6
    return p[f"{name}.weight"] * (x - x.mean()) / spread + p[f"{name}.bias"]


def multi_head(p: Parameters, name: str, query: Array, guide: Array, keep: Mask, heads: int) -> Array:
    """One query looks at the guide."""
    size = len(query) // heads
    q = linear(p, f"{name}.map_query", query)
    k = [linear(p, f"{name}.map_key", each) for each in guide]
    v = [linear(p, f"{name}.map_value", each) for each in guide]
    joined = np.zeros(len(query))
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        weights = masked(softmax, np.array([q[own] @ each[own] / np.sqrt(size) for each in k]), keep)
        joined[own] = sum(w * each[own] for w, each in zip(weights, v, strict=True))
    return linear(p, f"{name}.join", joined)


def look(p: Parameters, name: str, items: Array, guide: Array, keep: Mask, heads: int, variant: str) -> Array:
    """LN(x + MHA(x, y, y))."""
    return np.array(
        [
            layer_norm(p, f"{name}.norm", item + multi_head(p, f"{name}.attention", item, guide, keep, heads), variant)
            for item in items
        ]
    )


def think(p: Parameters, name: str, items: Array, variant: str) -> Array:
    """LN(x + FFN(x))."""
    return np.array(
        [
            layer_norm(
                p,
                f"{name}.norm",
                item + linear(p, f"{name}.map.2", np.maximum(linear(p, f"{name}.map.0", item), 0)),
                variant,
            )
            for item in items
        ]
    )


def flatten(p: Parameters, name: str, items: Array, keep: Mask) -> tuple[Array, Array]:
    """The summary and the weights of each glimpse."""
    scores = [linear(p, f"{name}.score.3", np.maximum(linear(p, f"{name}.score.0", item), 0)) for item in items]
    weights = np.array([masked(softmax, np.array(glimpse), keep) for glimpse in zip(*scores, strict=True)])
    sums = [sum(w * item for w, item in zip(glimpse, items, strict=True)) for glimpse in weights]
    return linear(p, f"{name}.join", np.concatenate(sums)), weights


def guided_co_attention(
    p: Parameters,
    words: Array,
    word_keep: Mask,
    regions: Array,
    region_keep: Mask,
    heads: int,
    stacking: bool,
    variant: str,
) -> tuple[Array, Array, Array, Array, Array]:
    """(words, regions, word weights, region weights, region weights of each glimpse)."""
    layers = len({name.split(".")[1] for name in p if name.startswith("words_to_words")})
    texts = []
    for depth in range(layers):
        words = look(p, f"words_to_words.{depth}", words, words, word_keep, heads, variant)
        words = think(p, f"word_maps.{depth}", words, variant)
        texts.append(words)
    for depth in range(layers):
        guide = texts[depth] if stacking else texts[-1]
        regions = look(p, f"regions_to_regions.{depth}", regions, regions, region_keep, heads, variant)
        regions = look(p, f"regions_to_words.{depth}", regions, guide, word_keep, heads, variant)
        regions = think(p, f"region_maps.{depth}", regions, variant)
    word_summary, word_weights = flatten(p, "flatten_words", words, word_keep)
    region_summary, region_weights = flatten(p, "flatten_regions", regions, region_keep)
    return word_summary, region_summary, word_weights.mean(0), region_weights.mean(0), region_weights
