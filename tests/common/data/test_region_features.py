from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from common.attention.maps import Boxes, DetectedBoxes
from common.attention.visual import VisualFeatures
from common.data import features as features_module
from common.data.features import FeatureCache
from common.errors import DataError
from tests.common.data.regions import DIM, NAMES, BoxEncoder


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Images with 3, 0, 5, ... boxes."""
    monkeypatch.setattr(features_module, "SHARD_SIZE", 4)
    paths = [tmp_path / f"{number}.jpg" for number in (3, 0, 5, 1, 2, 4)]
    for path in paths:
        path.write_text(path.stem)
    return paths


@pytest.mark.parametrize("detected", [True, False])
def test_each_image_has_its_own_boxes_filled_up_to_the_most_of_the_batch(
    images: list[Path], tmp_path: Path, detected: bool
) -> None:
    encoder = BoxEncoder(detected)
    FeatureCache.write(tmp_path / "cache", "boxes", images, encoder, batch_size=3)
    cache = FeatureCache.open(tmp_path / "cache", "boxes")
    wanted = [images[index] for index in (4, 1, 0, 4)]
    found, expected = cache.batch(wanted), encoder(wanted)
    assert found.values.shape == (4, 3, DIM)
    assert found.keep.sum(1).tolist() == [2, 0, 3, 2]
    assert torch.equal(found.keep, expected.keep[:, :3])
    assert torch.equal(found.values.float(), expected.values[:, :3] * found.keep[..., None])
    corners = expected.layout.rectangles()[:, :3] * found.keep[..., None]
    assert torch.equal(found.layout.rectangles(), corners)
    assert type(found.layout) is (DetectedBoxes if detected else Boxes)
    if isinstance(found.layout, DetectedBoxes) and isinstance(expected.layout, DetectedBoxes):
        assert found.layout.names == NAMES
        assert torch.equal(found.layout.scores, expected.layout.scores[:, :3] * found.keep)
        assert torch.equal(found.layout.classes, expected.layout.classes[:, :3] * found.keep)


def test_of_one_image_no_more_is_stored_than_it_has(images: list[Path], tmp_path: Path) -> None:
    cache = FeatureCache.write(tmp_path / "cache", "boxes", images, BoxEncoder())
    values, keep, layout = cache.get(images[0])
    assert (values.shape, values.dtype, keep.tolist()) == ((3, DIM), torch.float16, [True] * 3)
    assert layout.rectangles().shape == (3, 4)
    assert cache.get(images[1]).values.shape == (0, DIM)


def test_images_without_any_box_make_a_batch_of_regions_that_are_not_valid(images: list[Path], tmp_path: Path) -> None:
    features = FeatureCache.write(tmp_path / "cache", "boxes", images, BoxEncoder()).batch([images[1]] * 2)
    assert features.values.shape == (2, 1, DIM)
    assert not features.keep.any()
    assert not features.mean().any()


def test_workers_read_the_same_from_a_pickled_cache(images: list[Path], tmp_path: Path) -> None:
    cache = FeatureCache.write(tmp_path / "cache", "boxes", images, BoxEncoder())
    expected = cache.batch(images)
    again = pickle.loads(pickle.dumps(cache)).batch(images)
    (loaded,) = DataLoader(images, batch_size=6, num_workers=1, collate_fn=cache.batch)  # type: ignore[arg-type]
    for found in (again, loaded):
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.layout.rectangles(), expected.layout.rectangles())


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ([0.5, 0.5, 1.2, 0.9], r"\[0\.5, 0\.5, 1\.2, 0\.9\]"),
        ([-0.1, 0.0, 0.5, 0.5], r"\[-0\.1, "),
        ([0.6, 0.0, 0.5, 0.5], r"\[0\.6, "),
        ([0.0, float("nan"), 0.5, 0.5], r"\[0\.0, nan, "),
    ],
)
def test_boxes_outside_the_picture_are_refused_with_their_image(
    images: list[Path], tmp_path: Path, box: list[float], told: str
) -> None:
    def encode(paths: list[Path]) -> VisualFeatures:
        features = BoxEncoder(detected=False)(paths)
        features.layout.rectangles()[0, 1] = torch.tensor(box)
        return features

    with pytest.raises(DataError, match=rf"/3\.jpg has a box outside the picture, number 2 at {told}"):
        FeatureCache.write(tmp_path / "cache", "boxes", images, encode)


def test_what_fills_up_a_batch_may_be_anything(images: list[Path], tmp_path: Path) -> None:
    def encode(paths: list[Path]) -> VisualFeatures:
        features = BoxEncoder()(paths)
        values = features.values.masked_fill(~features.keep[..., None], torch.nan)
        return VisualFeatures(values, features.keep, features.layout)

    cache = FeatureCache.write(tmp_path / "cache", "boxes", images, encode)
    assert cache.batch(images).values.isfinite().all()
