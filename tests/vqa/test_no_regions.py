"""Questions about pictures in which a detector has found nothing are learned from and answered, and do no harm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from common.explain.canvas import figure_to_image
from common.explain.overlays import draw_answer
from common.training.parts import Part
from tests.captioning.test_no_regions import visual
from tests.vqa import recipes

STORED: Part = {"class_path": "common.encoders.StoredRegions", "init_args": {"name": "any", "dim": 12}}


@pytest.mark.parametrize(
    "recipe",
    [
        {"co_attention": recipes.PARALLEL},
        {"co_attention": recipes.ALTERNATING},
        {"co_attention": recipes.BILINEAR, "model": recipes.ONE_LEVEL},
        {"co_attention": recipes.GUIDED, "model": recipes.ONE_LEVEL},
    ],
    ids=["parallel", "alternating", "bilinear", "guided"],
)
@pytest.mark.parametrize("found", [(0, 2), (0, 0)])
def test_a_picture_without_regions_is_learned_from_and_asked_about(
    scenes: str, recipe: dict[str, Any], found: tuple[int, ...]
) -> None:
    module = recipes.module(recipes.data(scenes), STORED, **recipe)
    tokens = torch.tensor([[[4, 5, 6]], [[4, 6, 0]]])
    output = module.model(visual(found), tokens, tokens > 0)
    output.logits.logsumexp(-1).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    module.eval()
    for (prediction,) in module.answer(visual(found), [["what is red ?"]] * 2):
        assert prediction.maps["image"].weights.isfinite().all()
    figure_to_image(draw_answer(Image.new("RGB", (32, 32)), "what is red ?", prediction))
