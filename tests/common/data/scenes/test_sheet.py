from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops

from common.data.scenes import TINY
from common.data.scenes.sheet import COLUMNS, ROWS, TEXT_WIDTH, ZOOM, contact_sheet


def test_a_sheet_shows_the_first_scenes_enlarged_with_text_beside_them(tiny_root: Path) -> None:
    sheet = contact_sheet(tiny_root, "val")
    size = TINY.image_size[1] * ZOOM, TINY.image_size[0] * ZOOM
    assert sheet.width == (size[0] + TEXT_WIDTH) * COLUMNS
    assert sheet.height % ROWS == 0
    with Image.open(tiny_root / "images" / "val" / "000000.png") as picture:
        assert sheet.crop((0, 0, *size)).tobytes() == picture.resize(size, Image.Resampling.LANCZOS).tobytes()
    beside = sheet.crop((size[0], 0, size[0] + TEXT_WIDTH, size[1]))
    assert ImageChops.invert(beside).getbbox() is not None
