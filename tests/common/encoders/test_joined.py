from __future__ import annotations

from typing import Any

import pytest
import torch

from common.data.batches import ImageBatch
from common.encoders import JoinedEncoder, RegionEncoder, VisualEncoder
from common.errors import ConfigError
from common.training.parts import Part, build

BILINEAR = {"pretrained_cfg_overlay": {"interpolation": "bilinear"}}  # as the other backbone has it
BATCH = ImageBatch(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8), torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2))


def part(**settings: Any) -> Part:
    return {
        "class_path": "common.encoders.ImageEncoder",
        "init_args": {"name": "test_resnet", "stage": 3, "image_size": [64, 64]} | settings,
    }


def joined(*encoders: Part, **settings: Any) -> JoinedEncoder:
    recipe: Part = {
        "class_path": "common.encoders.JoinedEncoder",
        "init_args": {"encoders": list(encoders)} | settings,
    }
    made = build(recipe, VisualEncoder, weights=None)
    assert isinstance(made, JoinedEncoder)
    return made.eval()


def test_each_backbone_is_found_as_it_is_on_a_grid_of_its_own() -> None:
    encoder = joined(part(), part(name="test_convnext", stage=2, model_args=BILINEAR), geometry=True)
    features = encoder(BATCH)
    first, second = (each(BATCH) for each in encoder.encoders)
    grid = second.layout
    assert (first.layout.height, grid.height) == (4, 4)
    assert encoder.dim == sum(encoder.widths) + 4 == features.values.shape[-1]
    torch.testing.assert_close(features.values[..., : encoder.widths[0]], first.values)
    torch.testing.assert_close(features.values[..., encoder.widths[0] : -4], second.values)
    torch.testing.assert_close(features.layout.view, grid.view)


def test_a_finer_grid_is_averaged_onto_that_of_the_last() -> None:
    encoder = joined(part(stage=2), part())
    features, fine = encoder(BATCH), encoder.encoders[0](BATCH)
    assert fine.values.shape[1] == 64
    means = fine.values.unflatten(1, (4, 2, 4, 2)).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(features.values[..., : encoder.widths[0]], means)


def test_it_is_frozen_when_all_are_and_its_features_are_told_apart() -> None:
    assert joined(part(), part(stage=2)).frozen
    assert not joined(part(), part(train_from=0)).frozen
    torch.manual_seed(0)
    one = joined(part(), part(stage=2)).fingerprint()
    torch.manual_seed(0)
    assert joined(part(), part(stage=2), geometry=True).fingerprint() != one


@pytest.mark.parametrize(
    ("encoders", "fault"),
    [
        ([], "encoders is empty"),
        ([part(), part(image_size=[32, 32])], "encoders want different pictures"),
        ([part(), part(geometry=True)], "set it on the JoinedEncoder alone"),
    ],
)
def test_what_cannot_be_joined_is_refused(encoders: list[Part], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        joined(*encoders)


def test_boxes_are_refused_but_a_joined_grid_can_be_pooled_in_boxes() -> None:
    encoder = RegionEncoder(joined(part(), part(stage=2)))
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5]]] * 2)
    images = ImageBatch(BATCH.pixels, BATCH.view, boxes, torch.ones(2, 1, dtype=torch.bool))
    assert encoder(images).values.shape == (2, 1, encoder.dim)
    with pytest.raises(TypeError, match="joins grids, not Boxes"):
        JoinedEncoder([encoder])(images)
