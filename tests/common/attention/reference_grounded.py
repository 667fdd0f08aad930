"""Words that look at the picture in every layer (Li et al. 2022) for one question, in loops."""

from __future__ import annotations

import numpy as np

from tests.common.attention.reference import Array, Parameters, masked, softmax
from tests.common.attention.reference_guided import Mask, flatten, linear, look, think


def head_weights(p: Parameters, name: str, query: Array, guide: Array, keep: Mask, heads: int) -> Array:
    """How one query's look is spread over the guide, the mean of the heads."""
    size = len(query) // heads
    q, keys = linear(p, f"{name}.map_query", query), [linear(p, f"{name}.map_key", each) for each in guide]
    total = np.zeros(len(guide))
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        total += masked(softmax, np.array([q[own] @ key[own] / np.sqrt(size) for key in keys]), keep)
    return total / heads


def grounded_words(
    p: Parameters, words: Array, word_keep: Mask, regions: Array, region_keep: Mask, heads: int
) -> tuple[Array, Array, Array, Array, Array]:
    """(words, regions, word weights, region weights, region weights of each layer)."""
    layers = len({name.split(".")[1] for name in p if name.startswith("words_to_words")})
    looks = []
    for depth in range(layers):
        words = look(p, f"words_to_words.{depth}", words, words, word_keep, heads, "paper")
        name = f"words_to_regions.{depth}"
        looks.append([head_weights(p, f"{name}.attention", word, regions, region_keep, heads) for word in words])
        words = look(p, name, words, regions, region_keep, heads, "paper")
        words = think(p, f"word_maps.{depth}", words, "paper")
    summary, (word_weights,) = flatten(p, "flatten_words", words, word_keep)
    parts = np.zeros((layers, len(regions)))
    for depth in range(layers):
        for word, weight in enumerate(word_weights):
            parts[depth] += weight * looks[depth][word]
    region_weights = sum(parts) / layers
    region_summary = sum(weight * region for weight, region in zip(region_weights, regions, strict=True))
    return summary, region_summary, word_weights, region_weights, parts
