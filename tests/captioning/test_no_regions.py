"""Pictures in which a detector has found nothing are learned from and captioned, and do no harm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from captioning.data import CaptionBatch
from common.attention import Boxes, VisualFeatures
from common.explain.canvas import figure_to_image
from common.explain.overlays import draw_caption
from common.training.parts import Part
from tests.captioning import recipes

STORED: Part = {"class_path": "common.encoders.StoredRegions", "init_args": {"name": "any", "dim": 12}}
WORDS = ["<pad>", "<start>", "<end>", "<unk>", "a", "red", "dog"]


def visual(found: tuple[int, ...]) -> VisualFeatures:
    """Pictures with so many regions, filled up to three."""
    keep = torch.arange(3) < torch.tensor(found)[:, None]
    corners = torch.tensor([[0.0, 0, 0.5, 0.5], [0.2, 0.2, 0.9, 0.8], [0.5, 0.5, 1, 1]]) * keep[..., None]
    return VisualFeatures(torch.randn(len(found), 3, 12) * keep[..., None], keep, Boxes(corners))


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"decoder": recipes.ADAPTIVE},
        {"attention": recipes.HARD, "objectives": (recipes.CROSS_ENTROPY, recipes.REINFORCE)},
        {"objectives": (recipes.CROSS_ENTROPY, recipes.DOUBLY)},
        {"decoder": recipes.TRANSFORMER, "attention": None},
        {"decoder": recipes.MESHED, "attention": None},
    ],
    ids=["soft", "adaptive", "hard", "doubly stochastic", "transformer", "meshed"],
)
@pytest.mark.parametrize("found", [(0, 2), (0, 0)])
def test_a_picture_without_regions_is_learned_from_and_captioned(
    recipe: dict[str, Any], found: tuple[int, ...]
) -> None:
    module = recipes.module(WORDS, STORED, **recipe)
    tokens = torch.tensor([[[1, 4, 5, 6, 2]], [[1, 4, 6, 2, 0]]])
    terms = module(CaptionBatch(visual(found), tokens, tokens > 0, ()))
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    module.eval()
    for prediction in module.caption(visual(found)):
        assert prediction.maps["caption"].weights.isfinite().all()
    figure_to_image(draw_caption(Image.new("RGB", (32, 32)), module.caption(visual((0,)))[0]))
