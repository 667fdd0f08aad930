"""The transformer and the meshed-memory transformer in plain NumPy, word by word, region by region and head by head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, sigmoid, softmax


def _linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def _norm(p: Parameters, name: str, x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def multi_head(p: Parameters, name: str, query: Array, items: Sequence[Array], heads: int) -> tuple[Array, Array]:
    """Context [D] of one query, and the weights [H N] of the items, beside which there may be memory slots."""
    q = np.split(_linear(p, f"{name}.map_query", query), heads)
    keys = [np.split(_linear(p, f"{name}.map_key", item), heads) for item in items]
    values = [np.split(_linear(p, f"{name}.map_value", item), heads) for item in items]
    contexts, weights = [], []
    for h in range(heads):
        k, v = [key[h] for key in keys], [value[h] for value in values]
        if f"{name}.memory.keys" in p:
            slots = len(p[f"{name}.memory.keys"][h])
            k += [np.sqrt(len(q[h])) * slot for slot in p[f"{name}.memory.keys"][h]]
            v += [np.sqrt(slots) * slot for slot in p[f"{name}.memory.values"][h]]
        alpha = softmax(np.array([key @ q[h] / np.sqrt(len(q[h])) for key in k]))
        contexts.append(sum((a * value for a, value in zip(alpha, v, strict=True)), np.zeros(len(q[h]))))
        weights.append(alpha[: len(items)])
    return _linear(p, f"{name}.join", np.concatenate(contexts)), np.array(weights)


def _feed_forward(p: Parameters, name: str, x: Array) -> Array:
    inner = np.maximum(_linear(p, f"{name}.feed_forward.0", x), 0)
    return _norm(p, f"{name}.feed_forward_norm", x + _linear(p, f"{name}.feed_forward.2", inner))


def encode(p: Parameters, regions: Array, keep: NDArray[np.bool_], heads: int, layers: int) -> list[list[Array]]:
    """The valid regions as each layer of the encoder leaves them."""
    items = [np.maximum(_linear(p, "encoder.project.0", region), 0) for region in regions[keep]]
    items = [_norm(p, "encoder.project.3", item) for item in items]
    outputs = []
    for layer in range(layers):
        name = f"encoder.layers.{layer}"
        looked = [multi_head(p, f"{name}.attention", item, items, heads)[0] for item in items]
        added = [_norm(p, f"{name}.attention_norm", x + c) for x, c in zip(items, looked, strict=True)]
        items = [_feed_forward(p, name, item) for item in added]
        outputs.append(items)
    return outputs


def cross(
    p: Parameters, name: str, word: Array, levels: Sequence[Sequence[Array]], heads: int, mesh: str | None
) -> tuple[Array, Array]:
    """A word [D] that has looked at the regions of every level (Cornia et al. 2020, equations 4-6), weights [H R]."""
    looks = [multi_head(p, f"{name}.attention", word, items, heads) for items in levels]
    weights = sum((each for _, each in looks), np.zeros(looks[0][1].shape)) / len(levels)
    if mesh is None:
        return _norm(p, f"{name}.norm", word + looks[0][0]), weights
    total = np.zeros(len(word))
    for level, (context, _) in enumerate(looks):
        if mesh == "code":
            context = _norm(p, f"{name}.norm", word + context)
        gate = sigmoid(_linear(p, f"{name}.gates.{level}", np.concatenate([word, context])))
        total = total + gate * context / np.sqrt(len(levels))
    return (total if mesh == "code" else _norm(p, f"{name}.norm", word + total)), weights


def decode(
    p: Parameters, words: Sequence[Array], encoded: list[list[Array]], heads: int, mesh: str | None
) -> tuple[Array, Array]:
    """Log-probabilities [T V] and the last layer's weights [T H R] of embedded words, positions added."""
    levels = encoded if mesh else encoded[-1:]
    looks: list[Array] = []
    for layer in range(len(encoded)):
        name = f"layers.{layer}"
        before = [multi_head(p, f"{name}.attention", words[t], words[: t + 1], heads)[0] for t in range(len(words))]
        words = [_norm(p, f"{name}.attention_norm", y + c) for y, c in zip(words, before, strict=True)]
        crossed = [cross(p, f"{name}.cross", word, levels, heads, mesh) for word in words]
        looks = [weights for _, weights in crossed]
        words = [_feed_forward(p, name, word) for word, _ in crossed]
    return np.array([np.log(softmax(_linear(p, "output", word))) for word in words]), np.array(looks)
