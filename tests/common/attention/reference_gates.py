"""The visual sentinel of Lu et al. 2017 in plain NumPy, one number at a time (see `reference.py`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked


def additive_logit(query: Array, item: Array, p: Parameters) -> float:
    """w_h . tanh(item + W_g h): `item` is W_v v_i + b of a region or W_s s of the sentinel (equations 6 and 12)."""
    return float(p["attention.score.vector"] @ np.tanh(item + p["attention.score.map_query.weight"] @ query))


def sentinel_attention(
    query: Array,
    sentinel: Array,
    regions: Array,
    keep: NDArray[np.bool_],
    p: Parameters,
    distribution: Callable[[Array], Array],
) -> tuple[Array, Array, float]:
    """Context, weights of the regions and beta of one query, all from one joint distribution."""
    logits = [
        additive_logit(query, p["attention.score.map_key.weight"] @ region + p["attention.score.map_key.bias"], p)
        for region in regions
    ]
    logits.append(additive_logit(query, p["map_sentinel.weight"] @ sentinel, p))
    joint = masked(distribution, np.array(logits), np.array([*keep, True]))
    context = np.zeros(len(sentinel))
    for weight, value in zip(joint, [*regions, sentinel], strict=True):
        context = context + weight * value
    return context, joint[:-1], float(joint[-1])


def two_steps(
    query: Array, sentinel: Array, regions: Array, keep: NDArray[np.bool_], p: Parameters
) -> tuple[Array, float]:
    """Context and beta as equations 6-13 have them: softmax over the regions first, then beta s + (1 - beta) c."""
    logits = [
        additive_logit(query, p["attention.score.map_key.weight"] @ region + p["attention.score.map_key.bias"], p)
        for region, valid in zip(regions, keep, strict=True)
        if valid
    ]
    own = np.exp(additive_logit(query, p["map_sentinel.weight"] @ sentinel, p))
    powers = np.exp(np.array(logits))
    beta = float(own / (own + powers.sum()))
    context = np.zeros(len(sentinel))
    for power, region in zip(powers, regions[keep], strict=True):
        context = context + power / powers.sum() * region
    return beta * sentinel + (1 - beta) * context, beta
