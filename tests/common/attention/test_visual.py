from __future__ import annotations

import torch

from common.attention import Boxes, VisualFeatures


def _features(values: torch.Tensor, keep: list[list[bool]]) -> VisualFeatures:
    return VisualFeatures(values, torch.tensor(keep), Boxes(torch.zeros(*values.shape[:2], 4)))


def test_the_mean_is_over_the_valid_regions_only() -> None:
    values = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [100.0, -100.0]]])
    assert _features(values, [[True, True, False]]).mean().tolist() == [[2.0, 20.0]]
    assert _features(values, [[False, True, False]]).mean().tolist() == [[3.0, 30.0]]


def test_the_mean_of_a_picture_without_valid_regions_is_zero() -> None:
    assert _features(torch.ones(2, 3, 4), [[False] * 3, [True] * 3]).mean().tolist() == [[0.0] * 4, [1.0] * 4]


def test_the_mean_keeps_the_type_of_the_features() -> None:
    assert _features(torch.ones(1, 2, 3, dtype=torch.bfloat16), [[True, True]]).mean().dtype == torch.bfloat16
