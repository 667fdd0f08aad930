from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.attention import VisualFeatures
from common.attention.places import corner_features
from common.data.batches import ImageBatch
from common.encoders import StandardisedEncoder, StoredRegions, VisualEncoder
from common.errors import CheckpointError
from common.training.checkpoints import build_encoder
from common.training.parts import Part, build

GRID: Part = {
    "class_path": "common.encoders.ImageEncoder",
    "init_args": {"name": "test_resnet", "stage": 3, "image_size": [64, 64]},
}
RECIPE: Part = {"class_path": "common.encoders.StandardisedEncoder", "init_args": {"encoder": GRID}}


def made() -> StandardisedEncoder:
    torch.manual_seed(0)
    encoder = build(RECIPE, VisualEncoder, weights=None)
    assert isinstance(encoder, StandardisedEncoder)
    return encoder


def test_places_follow_the_features_and_are_never_standardised() -> None:
    recipe: Part = {**RECIPE, "init_args": {"encoder": GRID, "places": True}}
    encoder = build(recipe, VisualEncoder, weights=None).train()
    features = encoder(pictures(0))
    places = corner_features(features.layout)
    for mode in (True, False):
        found = encoder.train(mode).adapt(features).values
        assert found.shape[-1] == encoder.dim == features.values.shape[-1] + places.shape[-1]
        torch.testing.assert_close(found[..., -places.shape[-1] :], places)
    keep = torch.zeros_like(features.keep)
    assert (encoder.adapt(replace(features, keep=keep)).values == 0).all()


def pictures(seed: int) -> ImageBatch:
    pixels = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return ImageBatch(pixels, torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 3))


def test_features_have_mean_0_and_variance_1_over_all_valid_regions_of_the_training() -> None:
    encoder = made()
    batches = [encoder(pictures(seed)) for seed in range(2)]
    keep = torch.rand(batches[0].keep.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    batches[0] = replace(batches[0], keep=keep)
    encoder.train()
    for features in batches:
        encoder.adapt(features)
    encoder.eval()
    found = torch.cat([encoder.adapt(features).values[features.keep] for features in batches])
    varies = torch.cat([features.values[features.keep] for features in batches]).std(0) > 1e-2
    assert varies.any()
    torch.testing.assert_close(found.mean(0)[varies], torch.zeros(int(varies.sum())), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0)[varies], torch.ones(int(varies.sum())), atol=1e-3, rtol=0)
    assert (encoder.adapt(batches[0]).values[~keep] == 0).all()


def test_before_any_training_features_are_as_they_are() -> None:
    encoder = made().eval()
    features = encoder(pictures(0))
    torch.testing.assert_close(encoder.adapt(features).values, features.values)


def test_evaluation_learns_nothing_and_a_feature_that_never_varies_stays_finite() -> None:
    encoder = made().train()
    features = encoder(pictures(0))
    encoder.adapt(replace(features, values=torch.ones_like(features.values)))
    before = encoder.eval().count.clone()
    found: VisualFeatures = encoder.adapt(replace(features, values=torch.ones_like(features.values)))
    assert (found.values == 0).all()
    assert encoder.count == before


def test_a_cache_keeps_what_the_encoder_gives_and_does_not_mind_what_was_seen_since() -> None:
    encoder = made()
    before = encoder.fingerprint()
    encoder.train().adapt(encoder(pictures(0)))
    assert encoder.fingerprint() == before == encoder.encoder.fingerprint()
    torch.testing.assert_close(encoder(pictures(1)).values, encoder.encoder(pictures(1)).values)
    assert encoder.frozen
    assert encoder.preprocessing == encoder.encoder.preprocessing
    assert encoder.dim == encoder.encoder.dim


def test_what_was_seen_is_in_the_checkpoint() -> None:
    encoder, other = made().train(), made()
    encoder.adapt(encoder(pictures(0)))
    other.load_state_dict(encoder.state_dict())
    features = encoder(pictures(1))
    torch.testing.assert_close(other.eval().adapt(features).values, encoder.eval().adapt(features).values)


def test_a_checkpoints_plain_encoder_is_taken_over_as_the_one_that_is_standardised(tmp_path: Path) -> None:
    trained, path = made(), tmp_path / "best.ckpt"
    trained.train().adapt(trained(pictures(0)))

    def save(encoder: VisualEncoder) -> None:
        state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        torch.save({"saccade": {"format": 1}, "state_dict": state, "hyper_parameters": {}}, path)

    for saved, count in ((trained.encoder, 0), (trained, int(trained.count))):
        save(saved)
        taken = build_encoder(RECIPE, str(path))
        assert isinstance(taken, StandardisedEncoder)
        assert taken.count == count
        torch.testing.assert_close(taken.eval()(pictures(1)).values, trained.eval()(pictures(1)).values)
    save(trained)
    with pytest.raises(CheckpointError, match="is another one"):
        build_encoder(GRID, str(path))


def test_a_checkpoints_grid_is_taken_over_under_boxes_and_standardised(tmp_path: Path) -> None:
    grid, path = made().encoder, tmp_path / "best.ckpt"
    state = {f"encoder.{name}": value for name, value in grid.state_dict().items()}
    torch.save({"saccade": {"format": 1}, "state_dict": state, "hyper_parameters": {}}, path)
    boxed: Part = {"class_path": "common.encoders.RegionEncoder", "init_args": {"grid": GRID}}
    recipe: Part = {"class_path": "common.encoders.StandardisedEncoder", "init_args": {"encoder": boxed}}
    taken = build_encoder(recipe, str(path)).get_submodule("encoder.grid").eval()
    torch.testing.assert_close(taken(pictures(1)).values, grid.eval()(pictures(1)).values)


def test_what_was_seen_of_stored_regions_is_taken_over(tmp_path: Path) -> None:
    encoder, path = StandardisedEncoder(StoredRegions("any", dim=2)), tmp_path / "best.ckpt"
    encoder.count += 3
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"saccade": {"format": 1}, "state_dict": state, "hyper_parameters": {}}, path)
    stored: Part = {"class_path": "common.encoders.StoredRegions", "init_args": {"name": "any", "dim": 2}}
    recipe: Part = {"class_path": "common.encoders.StandardisedEncoder", "init_args": {"encoder": stored}}
    taken = build_encoder(recipe, str(path))
    assert taken.get_buffer("count") == 3
