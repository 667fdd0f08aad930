"""A NumPy reference of two-level attention for one query and one picture, group by group."""

from __future__ import annotations

import numpy as np

from tests.common.attention.reference import Array, Parameters, softmax
from tests.common.attention.reference_representations import additive


def grid_groups(height: int, width: int, rows: int, columns: int) -> list[int]:
    """The patch of each cell, row by row: the one that holds its centre."""
    return [
        int((row + 0.5) * rows / height) * columns + int((column + 0.5) * columns / width)
        for row in range(height)
        for column in range(width)
    ]


def two_level(
    p: Parameters, q: Array, keys: Array, groups: list[int | None], top_down: bool
) -> tuple[Array, Array, Array]:
    """Context [D], weights [N] and parts [2 N]; the group of an invalid key is None."""
    weights, patches, regions = np.zeros((3, len(keys)))
    filled = sorted({group for group in groups if group is not None})
    members = {group: [i for i, each in enumerate(groups) if each == group] for group in filled}
    inside = {group: softmax(np.array([additive(p, "within", q, keys[i]) for i in members[group]])) for group in filled}
    summaries = {
        group: keys[members[group]].mean(0)
        if top_down
        else sum(a * keys[i] for a, i in zip(inside[group], members[group], strict=True))
        for group in filled
    }
    if filled:
        chosen = softmax(np.array([additive(p, "between", q, summaries[group]) for group in filled]))
        for b, group in zip(chosen, filled, strict=True):
            for a, i in zip(inside[group], members[group], strict=True):
                weights[i], patches[i], regions[i] = b * a, b / len(members[group]), a / len(filled)
    context = sum((w * k for w, k in zip(weights, keys, strict=True)), np.zeros(keys.shape[1]))
    return context, weights, np.array([patches, regions])
