"""Local attention of one query in plain loops (Luong et al. 2015, section 3.2, and its form for grids and boxes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked

Place = Sequence[float]  # along each axis


def predicted(p: Parameters, query: Array, extent: Place) -> list[float]:
    """S sigmoid(v . tanh(W q)) along each axis; the last v belongs to the last axis."""
    hidden = np.tanh(p["map_query.weight"] @ query)
    vectors = p["predict.weight"][-len(extent) :]
    return [far / (1 + np.exp(-(vector @ hidden))) for far, vector in zip(extent, vectors, strict=True)]


def local(
    distribution: Callable[[Array], Array],
    logits: Array,
    keep: NDArray[np.bool_],
    places: Sequence[Place],
    centre: Place,
    reach: float,
    *,
    indexed: bool,
    gaussian: bool,
) -> Array:
    """Weights [N] of one query: the window around the centre, or around its floor where places are indices."""
    middle = [np.floor(c) if indexed else c for c in centre]
    inside = keep.copy()
    for n, place in enumerate(places):
        for s, m in zip(place, middle, strict=True):
            if abs(s - m) > reach:
                inside[n] = False
    weights = masked(distribution, logits, inside)
    if gaussian:
        for n, place in enumerate(places):
            for s, c in zip(place, centre, strict=True):
                weights[n] *= np.exp(-((s - c) ** 2) / (2 * (reach / 2) ** 2))
    return weights
