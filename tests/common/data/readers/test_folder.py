from __future__ import annotations

from pathlib import Path

import pytest

from common.data.readers import PictureFolder
from common.data.records import CaptionRecord
from common.errors import ImageError


def test_a_folders_pictures_are_records_without_captions(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "inside/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert PictureFolder(str(tmp_path)).read() == [
        CaptionRecord(tmp_path / "a.png", "a.png"),
        CaptionRecord(tmp_path / "b.JPG", "b.JPG"),
    ]
    ids = [record.image_id for record in PictureFolder(f"{tmp_path}/**/*").read()]
    assert ids == ["a.png", "b.JPG", "inside/c.jpg"]
    assert [record.image_id for record in PictureFolder(str(tmp_path / "a.png")).read()] == ["a.png"]


def test_a_path_from_the_working_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    for pictures in ("a.png", "*.png", "."):
        assert [record.image_id for record in PictureFolder(pictures).read()] == ["a.png"]


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"folder {tmp_path} holds no images"):
        PictureFolder(str(tmp_path)).read()
    with pytest.raises(ImageError, match=r"no image is called or matches .*absent"):
        PictureFolder(str(tmp_path / "absent")).read()
