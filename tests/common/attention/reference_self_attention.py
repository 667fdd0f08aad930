"""NumPy references in float64 of multi-head attention and what is made of it, item by item from the equations.

All are of one example. `p` holds a module's parameters by name; `name` is what the names of the part begin with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked, softmax

Mask = NDArray[np.bool_]


def linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0.0)


def multi_head(
    p: Parameters, name: str, query: Array, keys: Array, keep: Mask, heads: int, values: Array | None = None
) -> tuple[Array, Array]:
    """Context [Q D] and weights [H Q N]."""
    width = len(p[f"{name}.map_query.weight"]) // heads
    slots = p[f"{name}.memory.keys"].shape[1] if f"{name}.memory.keys" in p else 0
    contexts, weights = [], np.zeros((heads, len(query), len(keys)))
    for index, q in enumerate(query):
        joined = np.zeros(0)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            looked = linear(p, f"{name}.map_query", q)[part]
            head_keys = [linear(p, f"{name}.map_key", k)[part] for k in keys]
            head_values = [linear(p, f"{name}.map_value", v)[part] for v in (keys if values is None else values)]
            for slot in range(slots):
                head_keys.append(width**0.5 * p[f"{name}.memory.keys"][head, slot])
                head_values.append(slots**0.5 * p[f"{name}.memory.values"][head, slot])
            logits = np.array([k @ looked / width**0.5 for k in head_keys])
            row = masked(softmax, logits, np.append(keep, np.ones(slots, dtype=bool)))
            joined = np.append(joined, sum(w * v for w, v in zip(row, head_values, strict=True)))
            weights[head, index] = row[: len(keys)]
        contexts.append(linear(p, f"{name}.join", joined) if f"{name}.join.weight" in p else joined)
    return np.array(contexts), weights


def information_gate(p: Parameters, name: str, context: Array, query: Array) -> Array:
    """g * i of one query, W_v first in the joined matrix."""
    width = len(context)
    matrix, offset = p[f"{name}.map.weight"], p[f"{name}.map.bias"]
    information, gate = np.zeros(width), np.zeros(width)
    for row in range(width):
        information[row] = matrix[row, :width] @ context + matrix[row, width:] @ query + offset[row]
        below = row + width
        gate[row] = 1 / (1 + np.exp(-(matrix[below, :width] @ context + matrix[below, width:] @ query + offset[below])))
    return gate * information


def layer_norm(p: Parameters, name: str, x: Array) -> Array:
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    return p[f"{name}.weight"] * (x - mean) / np.sqrt(variance + 1e-5) + p[f"{name}.bias"]


def transformer_layer(p: Parameters, name: str, items: Array, keep: Mask, heads: int, norm: str) -> tuple[Array, Array]:
    """Items [N D] and weights [H N N]."""

    def feed_forward(x: Array) -> Array:
        return linear(p, f"{name}.feed_forward.2", np.maximum(linear(p, f"{name}.feed_forward.0", x), 0))

    if norm == "before":
        normed = np.array([layer_norm(p, f"{name}.attention_norm", x) for x in items])
        context, weights = multi_head(p, f"{name}.attention", normed, normed, keep, heads)
        between = items + context
        return np.array([x + feed_forward(layer_norm(p, f"{name}.feed_forward_norm", x)) for x in between]), weights
    context, weights = multi_head(p, f"{name}.attention", items, items, keep, heads)
    between = np.array([layer_norm(p, f"{name}.attention_norm", x) for x in items + context])
    return np.array([layer_norm(p, f"{name}.feed_forward_norm", x + feed_forward(x)) for x in between]), weights


def aoa_layer(
    p: Parameters, name: str, items: Array, keep: Mask, heads: int, norm: str = "before"
) -> tuple[Array, Array]:
    """Items [N D] and weights [H N N]."""

    def normed(rows: Array) -> Array:
        return np.array([layer_norm(p, f"{name}.norm", x) for x in rows])

    query = normed(items) if norm == "before" else items
    context, weights = multi_head(p, f"{name}.attention", query, query, keep, heads)
    gated = np.array([information_gate(p, f"{name}.gate", c, x) for c, x in zip(context, query, strict=True)])
    return items + gated if norm == "before" else normed(items + gated), weights


def rollout(looks: list[Array]) -> Array:
    """The share [N N] of each item as it came in, by following every path through the layers' weights [N N]."""
    count = len(looks[0])
    shares = np.eye(count)
    for look in looks:
        new = np.zeros((count, count))
        for item in range(count):
            total = look[item].sum() + 1
            for other in range(count):
                new[item] += (look[item, other] + (item == other)) / total * shares[other]
        shares = new
    return shares


def structured_pooling(p: Parameters, items: Array, keep: Mask) -> tuple[Array, Array]:
    """Context [D] and weights [P N]."""
    scores = np.array([linear(p, "score", np.tanh(linear(p, "map_key", x))) for x in items])  # [N P]
    weights = np.array([masked(softmax, column, keep) for column in scores.T])
    glimpses = [sum((w * x for w, x in zip(row, items, strict=True)), np.zeros(items.shape[1])) for row in weights]
    return linear(p, "join", np.concatenate(glimpses)), weights


def places(centres: Array, dim: int) -> Array:
    """Sinusoids [N dim] of centres [N 2]."""
    encoded = np.zeros((len(centres), dim))
    for row, centre in enumerate(centres):
        for first, width, place in ((0, dim // 2, centre[0]), (dim // 2, dim - dim // 2, centre[1])):
            for feature in range(width):
                angle = 2 * np.pi * place / 10000 ** (2 * (feature // 2) / width)
                encoded[row, first + feature] = np.cos(angle) if feature % 2 else np.sin(angle)
    return encoded
