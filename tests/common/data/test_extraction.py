from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.attention.maps import Boxes
from common.data.extraction import CachedFeatures, extract
from common.data.features import FeatureCache
from common.data.loading import ImageLoader
from common.data.records import CaptionRecord, NamedBox
from common.encoders import ImageEncoder, RegionEncoder, StoredRegions
from common.errors import DataError, ImageError
from tests.common.data.regions import DIM, BoxEncoder

BOXES = (NamedBox((0.0, 0.0, 0.5, 0.5), "dog"), NamedBox((0.25, 0.5, 1.0, 1.0), "cat"))


@pytest.fixture
def records(tmp_path: Path) -> list[CaptionRecord]:
    """Pictures with 2, 1 and 2 boxes."""
    records = []
    for number, boxes in ((2, BOXES), (1, BOXES[:1]), (4, BOXES)):
        path = tmp_path / f"{number}.png"
        Image.effect_noise((40, 30), 90).save(path)
        records.append(CaptionRecord(path, path.name, (), boxes))
    return records


@pytest.fixture
def encoder() -> RegionEncoder:
    return RegionEncoder(ImageEncoder("test_resnet", image_size=(32, 32))).eval()


def test_regions_of_given_boxes_are_cached_as_they_are_computed(
    records: list[CaptionRecord], encoder: RegionEncoder, tmp_path: Path
) -> None:
    cached = CachedFeatures(extract(encoder, records, tmp_path / "cache", "float32"))(records)
    with torch.no_grad():
        direct = encoder(ImageLoader(encoder.preprocessing, with_boxes=True)(records))
    torch.testing.assert_close(cached.values, direct.values)
    assert torch.equal(cached.keep, direct.keep)
    assert isinstance(cached.layout, Boxes)
    assert torch.equal(cached.layout.corners, direct.layout.rectangles())


def test_pictures_may_be_named_from_the_folder_one_is_in(
    records: list[CaptionRecord], encoder: RegionEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    near = [replace(record, image=Path(record.image.name)) for record in records]
    cache = extract(encoder, near, "cache")
    assert len(cache) == 3
    assert all(record.image in cache for record in (*near, *records))


def test_regions_are_computed_again_where_the_boxes_have_changed(
    records: list[CaptionRecord], encoder: RegionEncoder, tmp_path: Path
) -> None:
    extract(encoder, records, tmp_path / "cache")
    other = replace(records[1], boxes=BOXES[1:])
    cache = extract(encoder, [other], tmp_path / "cache")
    assert cache.get(other.image).layout.rectangles().tolist() == [list(BOXES[1].corners)]


def test_two_records_of_a_picture_with_different_boxes_are_refused(
    records: list[CaptionRecord], encoder: RegionEncoder, tmp_path: Path
) -> None:
    assert len(extract(encoder, [records[0], records[0]], tmp_path / "cache")) == 1
    with pytest.raises(DataError, match=r"2\.png has other boxes in one record than in another"):
        extract(encoder, [records[0], replace(records[0], boxes=())], tmp_path / "other")


def test_pictures_at_fault_are_named_and_the_others_done(
    records: list[CaptionRecord], encoder: RegionEncoder, tmp_path: Path
) -> None:
    records[1].image.write_text("no picture")
    bare = replace(records[2], boxes=())
    faults: list[DataError | ImageError] = []
    cache = extract(encoder, [*records[:2], bare], tmp_path / "cache", complain=faults.append)
    assert len(cache) == 1
    assert [str(fault).split(":")[0] for fault in faults] == [
        f"image {records[1].image} is not an image of a known format",
        f"{bare.image}",
    ]
    with pytest.raises(ImageError, match="not an image of a known format"):
        extract(encoder, records, tmp_path / "cache")


def test_stored_regions_are_read_and_never_written_or_deleted(records: list[CaptionRecord], tmp_path: Path) -> None:
    stored = StoredRegions("bottom-up", DIM)
    paths = [record.image for record in records]
    FeatureCache.write(tmp_path / "cache", stored.fingerprint(), paths[:2], BoxEncoder())
    records[0].image.touch()  # as after copying the data set: of no matter here
    read = CachedFeatures(extract(stored, records[:2], tmp_path / "cache"))(records[:2])
    assert read.keep.tolist() == [[True, True], [True, False]]
    with pytest.raises(DataError, match=r"1 of 3 pictures have no stored regions in .*cache, such as .*4\.png: "):
        extract(stored, records, tmp_path / "cache")
    with pytest.raises(DataError, match=r"another encoder \(bottom-up x 4, wanted bottom-up x 8\)"):
        extract(StoredRegions("bottom-up", 8), records[:2], tmp_path / "cache")
    with pytest.raises(DataError, match="there are no cached features"):
        extract(stored, records, tmp_path / "absent")
