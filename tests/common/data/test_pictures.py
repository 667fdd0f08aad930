from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from common.data.images import Preprocessing
from common.data.pictures import Picture, batches, collate, read_pictures
from common.encoders import ImageEncoder, RegionEncoder, StoredRegions
from common.errors import DataError, ImageError


def draw(path: Path, colour: str, size: tuple[int, int] = (8, 8)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_broken_file_is_complained_of_and_the_others_are_read(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    (tmp_path / "b.png").write_text("no picture")
    draw(tmp_path / "c.png", "blue")
    complaints: list[ImageError] = []
    read = list(read_pictures([str(tmp_path)], complaints.append))
    assert [picture.path.name for picture in read] == ["a.png", "c.png"]
    assert [picture.image.getpixel((0, 0)) for picture in read] == [(255, 0, 0), (0, 0, 255)]
    (complaint,) = complaints
    assert str(complaint).startswith(f"image {tmp_path / 'b.png'} is not an image of a known format")


def test_a_pattern_without_pictures_is_complained_of_and_the_others_are_read(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    complaints: list[ImageError] = []
    (read,) = read_pictures([str(tmp_path / "absent"), str(tmp_path / "a.png")], complaints.append)
    assert read.path == tmp_path / "a.png"
    assert [str(complaint).split(" (known")[0] for complaint in complaints] == [
        f"no image is called or matches {str(tmp_path / 'absent')!r}"
    ]


def test_batches_hold_all_pictures_in_order_the_last_one_the_rest() -> None:
    pictures = [Picture(Path(name), Image.new("RGB", (1, 1))) for name in "abcde"]
    assert [[picture.path.name for picture in batch] for batch in batches(iter(pictures), 2)] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
    ]


def test_pictures_of_different_sizes_make_one_batch_with_their_views() -> None:
    pictures = [Picture(Path(), Image.new("RGB", size, "red")) for size in ((10, 20), (20, 20))]
    encoder = ImageEncoder("test_resnet")
    encoder.preprocessing = Preprocessing((8, 8), fit="pad")
    batch = collate(pictures, encoder)
    assert batch.pixels.shape == (2, 3, 8, 8)
    torch.testing.assert_close(batch.view, torch.tensor([[-0.5, 0, 1.5, 1], [0, 0, 1, 1]]))
    assert batch.boxes is None


def test_pictures_alone_are_not_enough_for_an_encoder_of_boxes() -> None:
    with pytest.raises(DataError, match="looks at given boxes, which pictures alone do not have"):
        collate([Picture(Path(), Image.new("RGB", (8, 8)))], RegionEncoder(ImageEncoder("test_resnet")))


def test_new_pictures_have_none_of_the_regions_that_were_stored() -> None:
    with pytest.raises(DataError, match=r"regions that were stored by a detector which it does not have, .*Detector"):
        collate([Picture(Path(), Image.new("RGB", (8, 8)))], StoredRegions("bottom-up", 2048))
