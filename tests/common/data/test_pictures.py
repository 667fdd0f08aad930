from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from common.data.images import Preprocessing
from common.data.pictures import Picture, batches, collate, read_pictures
from common.errors import ImageError


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
    assert [str(complaint) for complaint in complaints] == [
        f"image {tmp_path / 'b.png'} is not an image of a known format"
    ]


def test_a_pattern_without_pictures_is_an_error_before_any_picture_is_read(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "red")
    with pytest.raises(ImageError, match=r"no image is called or matches .*absent"):
        next(read_pictures([str(tmp_path / "a.png"), str(tmp_path / "absent")], pytest.fail))


def test_batches_hold_all_pictures_in_order_the_last_one_the_rest() -> None:
    pictures = [Picture(Path(name), Image.new("RGB", (1, 1))) for name in "abcde"]
    assert [[picture.path.name for picture in batch] for batch in batches(iter(pictures), 2)] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
    ]


def test_pictures_of_different_sizes_make_one_batch_with_their_views(tmp_path: Path) -> None:
    pictures = [Picture(Path(), Image.new("RGB", size, "red")) for size in ((10, 20), (20, 20))]
    batch = collate(pictures, Preprocessing((8, 8), fit="pad"))
    assert batch.pixels.shape == (2, 3, 8, 8)
    torch.testing.assert_close(batch.view, torch.tensor([[-0.5, 0, 1.5, 1], [0, 0, 1, 1]]))
    assert batch.boxes is None
