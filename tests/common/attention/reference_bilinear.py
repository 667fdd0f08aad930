"""Bilinear attention networks (Kim et al. 2018) for one question, in loops over words, regions and features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked, softmax


def _relu_layer(p: Parameters, name: str, x: Array) -> Array:
    return np.maximum(p[f"{name}.weight"] @ x + p[f"{name}.bias"], 0)


def bilinear_map(
    p: Parameters,
    glimpse: int,
    words: Array,
    word_keep: NDArray[np.bool_],
    regions: Array,
    region_keep: NDArray[np.bool_],
) -> Array:
    """A_g [T R]."""
    logits, keep = np.zeros((len(words), len(regions))), np.zeros((len(words), len(regions)), dtype=bool)
    for j, word in enumerate(words):
        for i, region in enumerate(regions):
            joint = _relu_layer(p, "map_regions", region) * _relu_layer(p, "map_words", word)
            logits[j, i] = sum(h * each for h, each in zip(p["score.weight"][glimpse], joint, strict=True))
            keep[j, i] = word_keep[j] and region_keep[i]
    return masked(softmax, logits.reshape(-1), keep.reshape(-1)).reshape(logits.shape)


def bilinear_co_attention(
    p: Parameters, words: Array, word_keep: NDArray[np.bool_], regions: Array, region_keep: NDArray[np.bool_]
) -> tuple[Array, Array, Array, Array, Array]:
    """(sum of q_j^0, sum of q_j^G minus it, word weights, region weights, region weights of each glimpse)."""
    glimpses = len(p["score.weight"])
    maps = [bilinear_map(p, g, words, word_keep, regions, region_keep) for g in range(glimpses)]
    now = words.copy()
    for g in range(glimpses):
        width = len(p[f"pool_words.{g}.weight"])
        own = slice(g * width, (g + 1) * width)
        feature = np.zeros(width)
        for j in range(len(words)):
            for i in range(len(regions)):
                seen = np.maximum(p["pool_regions.weight"][own] @ regions[i] + p["pool_regions.bias"][own], 0)
                feature += maps[g][j, i] * seen * _relu_layer(p, f"pool_words.{g}", now[j])
        now = np.array([word + p[f"join.{g}.weight"] @ feature for word in now])
    before, after = words[word_keep].sum(0), now[word_keep].sum(0)
    parts = np.array([each.sum(0) for each in maps])
    return before, after - before, sum(each.sum(1) for each in maps) / glimpses, parts.mean(0), parts
