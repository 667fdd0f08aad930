from pathlib import Path

from common.explain.files import OverlayNames
from common.files import replacing


def test_overlays_of_pictures_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    names = OverlayNames(tmp_path, "caption", "png")
    pictures = ["a/photo.jpg", "b/photo.jpg", "photo.png", "other.jpg"]
    assert [names.next(Path(picture)).name for picture in pictures] == [
        "photo-caption.png",
        "photo-caption-2.png",
        "photo-caption-3.png",
        "other-caption.png",
    ]


def test_the_longest_name_of_a_picture_still_leaves_room_for_its_overlay(tmp_path: Path) -> None:
    path = OverlayNames(tmp_path, "answer", "png").next(Path("\u00e9" * 125 + ".jpg"))
    with replacing(path) as draft:
        draft.write_text("drawn")
    assert path.name.endswith("-answer.png")
