"""Plain NumPy references in float64, written pair by pair from the equations; they share no code with the project.

Vectors are one-dimensional arrays; `p` holds a module's parameters by name, as `parameters` copies them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]


def parameters(module: nn.Module) -> dict[str, Array]:
    """A copy of the module's parameters."""
    return {name: tensor.detach().double().numpy().copy() for name, tensor in module.named_parameters()}


def _deep(q: Array, k: Array, p: Parameters) -> float:
    hidden = np.maximum(p["map_query.weight"] @ q + p["map_key.weight"] @ k + p["map_key.bias"], 0)
    for layer in range(sum(name.startswith("layers") for name in p) // 2):
        hidden = np.maximum(p[f"layers.{layer}.weight"] @ hidden + p[f"layers.{layer}.bias"], 0)
    return (p["score.weight"] @ hidden + p["score.bias"]).item()


# a(q, k) for one query and one key
def _gated(q: Array, k: Array, p: Parameters) -> float:
    value, gate = np.split(p["map_query.weight"] @ q + p["map_key.weight"] @ k + p["map_key.bias"], 2)
    return (p["score.weight"] @ (np.tanh(value) / (1 + np.exp(-gate)))).item()


ALIGNMENT: dict[str, Callable[[Array, Array, Parameters], float]] = {
    "dot": lambda q, k, p: sum(q[d] * k[d] for d in range(len(q))),
    "scaled dot": lambda q, k, p: sum(q[d] * k[d] for d in range(len(q))) / len(q) ** 0.5,
    "general": lambda q, k, p: k @ p["map_query.weight"] @ q,
    "biased general": lambda q, k, p: k @ (p["map_query.weight"] @ q + p["map_query.bias"]),
    "activated general": lambda q, k, p: np.tanh(k @ p["map_query.weight"] @ q + p["offset"]),
    "additive": lambda q, k, p: (
        p["vector"] @ np.tanh(p["map_query.weight"] @ q + p["map_key.weight"] @ k + p["map_key.bias"])
    ),
    "concat": lambda q, k, p: (p["score.weight"] @ np.tanh(p["map_pair.weight"] @ np.concatenate([q, k]))).item(),
    "deep": _deep,
    "gated": _gated,
    "cosine": lambda q, k, p: np.exp(p["log_sharpness"]) * (q @ k) / np.linalg.norm(q) / np.linalg.norm(k),
    "feature": lambda q, k, p: (p["score.weight"] @ np.tanh(p["map_key.weight"] @ k + p["map_key.bias"])).item(),
}


def softmax(logits: Array) -> Array:
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def _bisect(weigh: Callable[[float], Array], low: float, high: float) -> Array:
    """weigh(tau) for the tau at which the weights sum to one; the sum falls as tau grows."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if weigh(middle).sum() > 1 else (low, middle)
    return weigh((low + high) / 2)


def sparsemax(logits: Array) -> Array:
    return _bisect(lambda tau: np.maximum(logits - tau, 0), logits.max() - 1, logits.max())


def entmax15(logits: Array) -> Array:
    return _bisect(lambda tau: np.maximum(logits / 2 - tau, 0) ** 2, logits.max() / 2 - 1, logits.max() / 2)


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


DISTRIBUTION: dict[str, Callable[[Array], Array]] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
    "sigmoid": sigmoid,
}


def masked(distribution: Callable[[Array], Array], logits: Array, keep: NDArray[np.bool_]) -> Array:
    """The distribution over the valid positions alone, zero elsewhere."""
    weights = np.zeros_like(logits)
    if keep.any():
        weights[keep] = distribution(logits[keep])
    return weights


def attention(
    alignment: Callable[[Array, Array], float],
    distribution: Callable[[Array], Array],
    query: Array,
    keys: Array,
    values: Array,
    keep: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Context [Q D] and weights [Q N] of one example."""
    weights = np.array([masked(distribution, np.array([alignment(q, k) for k in keys]), keep) for q in query])
    context = np.array([sum(w * v for w, v in zip(row, values, strict=True)) for row in weights])
    return context, weights


def _linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0.0)


def _summary(
    hidden: list[Array], p: Parameters, score: str, items: Array, keep: NDArray[np.bool_]
) -> tuple[Array, Array]:
    weights = masked(softmax, np.array([_linear(p, score, h).item() for h in hidden]), keep)
    return sum((w * x for w, x in zip(weights, items, strict=True)), np.zeros(items.shape[1])), weights


def parallel_co_attention(
    p: Parameters,
    words: Array,
    word_keep: NDArray[np.bool_],
    regions: Array,
    region_keep: NDArray[np.bool_],
    mask_affinity: bool,
) -> tuple[Array, Array, Array, Array]:
    """(words, regions, word weights, region weights) of one example (Lu et al. 2016, equations 3-5)."""
    affinity = np.zeros((len(words), len(regions)))
    for t, word in enumerate(words):
        for r, region in enumerate(regions):
            if not mask_affinity or (word_keep[t] and region_keep[r]):
                affinity[t, r] = np.tanh(_linear(p, "map_affinity", word) @ region)
    word_part = [_linear(p, "map_words", word) for word in words]
    region_part = [_linear(p, "map_regions", region) for region in regions]
    word_hidden = [
        np.tanh(word_part[t] + sum(affinity[t, r] * region_part[r] for r in range(len(regions))))
        for t in range(len(words))
    ]
    region_hidden = [
        np.tanh(region_part[r] + sum(affinity[t, r] * word_part[t] for t in range(len(words))))
        for r in range(len(regions))
    ]
    word_summary, word_weights = _summary(word_hidden, p, "score_words", words, word_keep)
    region_summary, region_weights = _summary(region_hidden, p, "score_regions", regions, region_keep)
    return word_summary, region_summary, word_weights, region_weights


def alternating_co_attention(
    p: Parameters, words: Array, word_keep: NDArray[np.bool_], regions: Array, region_keep: NDArray[np.bool_]
) -> tuple[Array, Array, Array, Array]:
    """(words, regions, word weights, region weights) of one example (Lu et al. 2016, equation 6)."""

    def attend(step: str, items: Array, keep: NDArray[np.bool_], guide: Array | None) -> tuple[Array, Array]:
        push = 0.0 if guide is None else _linear(p, f"{step}.map_guide", guide)
        hidden = [np.tanh(_linear(p, f"{step}.map_items", item) + push) for item in items]
        return _summary(hidden, p, f"{step}.score", items, keep)

    summary, _ = attend("first_words", words, word_keep, None)
    region_summary, region_weights = attend("guided_regions", regions, region_keep, summary)
    word_summary, word_weights = attend("guided_words", words, word_keep, region_summary)
    return word_summary, region_summary, word_weights, region_weights


def recursive_encoding(p: Parameters, levels: list[Array]) -> Array:
    """h_1 = tanh(W_1 x_1), h_l = tanh(W_l [x_l; h_{l-1}]) of one example (Lu et al. 2016, equation 7)."""
    hidden = np.zeros(0)
    for index, level in enumerate(levels):
        hidden = np.tanh(_linear(p, f"layers.{index}", np.concatenate([level, hidden])))
    return hidden
