"""NumPy references of `representations.py` and `directional.py` for one query and one picture or text, by loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked, sigmoid, softmax

Mask = NDArray[np.bool_]


def additive(p: Parameters, name: str, q: Array, k: Array) -> float:
    hidden = p[f"{name}.map_query.weight"] @ q + p[f"{name}.map_key.weight"] @ k + p[f"{name}.map_key.bias"]
    return p[f"{name}.vector"] @ np.tanh(hidden)


def _linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0.0)


def per_feature(logits: Array, values: Array, keep: Mask) -> tuple[Array, Array]:
    """Context [D] and weights [D N] of logits [N D]."""
    weights = np.array([masked(softmax, logits[:, d], keep) for d in range(values.shape[1])])
    context = np.array([sum(weights[d, i] * values[i, d] for i in range(len(values))) for d in range(len(weights))])
    return context, weights


def multi_dimensional(p: Parameters, q: Array, keys: Array, keep: Mask) -> tuple[Array, Array]:
    """Context [D] and weights [D N]."""
    logits = np.array(
        [_linear(p, "score", np.tanh(_linear(p, "map_query", q) + _linear(p, "map_key", k))) for k in keys]
    )
    return per_feature(logits, keys, keep)


def source_to_token(p: Parameters, keys: Array, keep: Mask) -> tuple[Array, Array]:
    """Context [D] and weights [D N]."""
    return per_feature(np.array([_linear(p, "score.2", elu(_linear(p, "score.0", k))) for k in keys]), keys, keep)


def elu(x: Array) -> Array:
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def _channels(p: Parameters, q: Array, regions: list[Array], keep: Mask, rescale: bool) -> Array:
    """beta [C]."""
    count, width = max(keep.sum(), 1), len(regions[0])
    mean = [sum((regions[i][c] for i in range(len(regions)) if keep[i]), 0.0) / count for c in range(width)]
    beta = softmax(np.array([additive(p, "channel", q, np.array([mean[c]])) for c in range(width)]))
    return beta * width if rescale else beta


def _places(p: Parameters, q: Array, regions: list[Array], keep: Mask) -> Array:
    """alpha [N]."""
    return masked(softmax, np.array([additive(p, "spatial", q, region) for region in regions]), keep)


def channel_spatial(
    p: Parameters, q: Array, keys: Array, keep: Mask, channels_first: bool, rescale: bool
) -> tuple[Array, Array]:
    """Context [C] and weights [N]: the map after both attentions, averaged where it is rescaled, summed where not."""
    count = keep.sum()
    if channels_first:
        beta = _channels(p, q, list(keys), keep, rescale)
        alpha = _places(p, q, [beta * k for k in keys], keep)
    else:
        alpha = _places(p, q, list(keys), keep)
        beta = _channels(
            p, q, [(count if rescale else 1) * a * k for a, k in zip(alpha, keys, strict=True)], keep, rescale
        )
    weighed = [(count if rescale else 1) * a * beta * k for a, k in zip(alpha, keys, strict=True)]
    total = sum(weighed, np.zeros(keys.shape[1]))
    return total / max(count, 1) if rescale else total, alpha


def staged(
    p: Parameters, q: Array, keys: Array, keep: Mask, widths: list[int], channels_first: bool, rescale: bool
) -> tuple[Array, Array]:
    """Context [K] and weights [L N] of stages whose maps lie side by side in the keys."""
    ends, contexts, looks, below = np.cumsum(widths), [], [], np.zeros((len(keys), 0))
    for stage, (width, end) in enumerate(zip(widths, ends, strict=True)):
        prefix = f"stages.{stage}."
        own = {name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)}
        regions = keys[:, end - width : end]
        if stage:
            regions = regions + np.array([p[f"between.{stage - 1}.weight"] @ z for z in below])
        context, alpha = channel_spatial(own, q, regions, keep, channels_first, rescale)
        scale = keep.sum() if rescale else 1
        seen = regions if channels_first else [scale * a * x for a, x in zip(alpha, regions, strict=True)]
        beta = _channels(own, q, list(seen), keep, rescale)
        below = np.array([scale * a * beta * x for a, x in zip(alpha, regions, strict=True)])
        contexts.append(context)
        looks.append(alpha)
    return np.concatenate(contexts), np.array(looks)


def mixed_sources(
    p: Parameters, q: Array, keys: Array, keep: Mask, widths: list[int], per: str, gates: bool = False
) -> tuple[Array, Array, Array]:
    """Context [D], weights [N] and shares [M N]."""
    share = sigmoid if gates else softmax
    place = keys[:, sum(widths) :]
    ends = np.cumsum(widths)
    common = [
        [
            _linear(p, f"sources.{m}", np.concatenate([k[end - width : end], where]))
            for k, where in zip(keys, place, strict=True)
        ]
        for m, (width, end) in enumerate(zip(widths, ends, strict=True))
    ]  # of each source, of each region
    regions, sources = range(len(keys)), range(len(widths))
    if per == "position":
        alpha = np.array(
            [share(np.array([_linear(p, "mixture.score", common[m][i]).item() for m in sources])) for i in regions]
        ).T
        mixed = [sum(alpha[m, i] * common[m][i] for m in sources) for i in regions]
        weights = masked(softmax, np.array([additive(p, "score", q, w) for w in mixed]), keep)
        context = sum(weights[i] * mixed[i] for i in regions)
        parts = np.array([[alpha[m, i] * weights[i] for i in regions] for m in sources])
    else:
        looks = [masked(softmax, np.array([additive(p, "score", q, w) for w in common[m]]), keep) for m in sources]
        seen = [sum(looks[m][i] * common[m][i] for i in regions) for m in sources]
        alpha = share(np.array([additive(p, "choice.score", q, z) for z in seen]))
        context = sum(alpha[m] * seen[m] for m in sources)
        parts = np.array([alpha[m] * looks[m] for m in sources])
        weights = parts.sum(0)
    return p["join.weight"] @ context if "join.weight" in p else context, weights, parts


def directional(p: Parameters, items: Array, keep: Mask, direction: str) -> tuple[Array, Array]:
    """Words [N D] and weights [N N] of one text."""
    count = len(items)
    hidden = [elu(_linear(p, "map_input", x)) for x in items]
    admits = {"forward": lambda i, j: j < i, "backward": lambda i, j: j > i, "diagonal": lambda i, j: j != i}[direction]
    fused, looks = np.zeros((count, len(hidden[0]))), np.zeros((count, count))
    for i in range(count):
        if not keep[i]:
            continue
        logits = np.array(
            [
                5 * np.tanh((_linear(p, "map_attended", hidden[j]) + _linear(p, "map_attending", hidden[i])) / 5)
                for j in range(count)
            ]
        )
        admitted = np.array([keep[j] and admits(i, j) for j in range(count)])
        gathered, weights = per_feature(logits, np.array(hidden), admitted)
        gate = sigmoid(_linear(p, "gate_own", hidden[i]) + _linear(p, "gate_gathered", gathered))
        fused[i] = gate * hidden[i] + (1 - gate) * gathered
        looks[i] = weights.mean(0)
    return fused, looks
